// Runs of the load generator in the shared folder (bench/loadgen) against fresh
// servers. LOADGEN says where it is.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launch, token } from '../lib/server.mjs'

/** Where servers keep their data unless told. */
export const DATA_DEFAULT = fileURLToPath(new URL('../../target', import.meta.url))

const { LOADGEN } = process.env
if (!LOADGEN) throw new Error('LOADGEN is not set: see the head of bench/journal.mjs')

/** One client stands for all users, so limits on one user are off; nothing else is changed. */
export const LIMITS = {
  CONNECTIONS_PER_USER_MAX: 'off',
  INBOUND_MESSAGES_PER_SECOND: 'off',
  INBOUND_BYTES_PER_SECOND: 'off',
  INBOUND_USER_MESSAGES_PER_SECOND: 'off',
  INBOUND_USER_BYTES_PER_SECOND: 'off',
  INBOUND_USER_TIME_PER_SECOND: 'off'
}

/**
 * Starts fresh servers, one for each environment, and ends them afterwards.
 * @param {Record<string, string>[]} environments
 * @param {{data: string, apart?: boolean}} options `apart`: all threads of the
 *   servers are on the first processor
 * @param {(servers: object[]) => Promise<T>} use
 * @returns {Promise<T>}
 * @template T
 */
export const withServers = async (environments, { data, apart = false }, use) => {
  mkdirSync(data, { recursive: true })
  const servers = environments.map(env => {
    const dataDir = mkdtempSync(join(data, 'bench-data-'))
    return launch({ dataDir, env: { ...LIMITS, JOURNAL: 'off', ...env } })
  })
  try {
    for (const server of servers) {
      await server.ready()
      if (apart) execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', '0', String(server.child.pid)], { stdio: 'ignore' })
    }
    return await use(servers)
  } finally {
    for (const server of servers) {
      await server.stop()
      rmSync(server.dataDir, { recursive: true })
    }
  }
}

/**
 * Runs the generator on a server. Throws if the run is void.
 * @param {{prefix?: string, apart?: boolean}} [options] `prefix`: of the names of documents;
 *   `apart`: on the second processor
 */
export const generate = async (server, args, { prefix = '', apart = false } = {}) => {
  const [command, ...before] = apart ? ['taskset', '--cpu-list', '1', LOADGEN] : [LOADGEN]
  const child = spawn(command, [
    ...before, ...args, '--url', `${server.url}/${prefix}{doc}`, '--pid', String(server.child.pid), '--header', `Authorization: Bearer ${token()}`
  ], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', chunk => { out += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the generator ended with ${code}: ${out}`)
  const result = JSON.parse(out.trim().split('\n').at(-1))
  if (result.error || result.converged === false || result.errors?.length > 0) throw new Error(`the run is void: ${JSON.stringify(result)}`)
  return result
}

/** The one in the middle; `undefined` of none. */
export const median = figures => ascending(figures)[figures.length >> 1]

/** The median of figures, with the smallest and the largest. */
export const spread = figures => {
  const sorted = ascending(figures)
  return `${short(median(figures))} (${short(sorted[0])} to ${short(sorted.at(-1))})`
}

const ascending = figures => figures.toSorted((a, b) => a - b)

const short = number => Math.abs(number) >= 100 ? String(Math.round(number)) : String(Number(number?.toPrecision(3)))
