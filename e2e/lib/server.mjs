// Starts the ysyncd binary for a test and ends it again.
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from './wait.mjs'

export const BINARY = process.env.YSYNCD_BIN ? resolve(process.env.YSYNCD_BIN) : fileURLToPath(new URL('../../target/release/ysyncd', import.meta.url))
export const SECRET = 'a secret for tests, long enough'

/**
 * Starts a server on a free loopback port, with a data folder of its own
 * unless one is given, and ends it when the test does.
 * @param {import('node:test').TestContext} t
 * @param {{dataDir?: string, port?: number, env?: Record<string, string>}} [options]
 */
export const startServer = async (t, { dataDir, ...options } = {}) => {
  const server = launch({ dataDir: dataDir ?? await temporaryFolder(t), ...options })
  t.after(() => server.stop('SIGKILL'))
  await server.ready()
  return server
}

/** Starts a server that the caller ends, and does not wait for it. */
export const launch = ({ dataDir, port = 0, env = {} }) => {
  const child = spawn(BINARY, ['serve'], {
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: dataDir,
      SYNC_SHARED_SECRET: SECRET,
      LOG_FORMAT: 'json',
      ...env
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const server = new Server(child, dataDir)
  running.add(server)
  child.once('exit', () => running.delete(server))
  return server
}

const running = new Set()

/**
 * A folder that is removed when the test ends. What is to be done then is done in
 * the order in which it was asked for, so that servers may still write there.
 */
export const temporaryFolder = async t => {
  const path = await mkdtemp(join(tmpdir(), 'ysyncd-e2e-'))
  t.after(async () => {
    const writing = [...running].filter(({ dataDir }) => dataDir === path)
    await Promise.all(writing.map(server => server.stop('SIGKILL')))
    await rm(path, { recursive: true, force: true })
  })
  return path
}

/** A token as an application would make it. */
export const token = (user = 'tester', { secret = SECRET, encoding = 'base64url' } = {}) =>
  `${user}:${createHmac('sha256', secret).update(user).digest(encoding)}`

/**
 * A JWT as an application would make it; good for an hour unless told.
 * @param {{exp?: number, nbf?: number, docs?: string[], access?: 'read' | 'write'}} [claims]
 */
export const jwt = (claims = {}, { user = 'tester', secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) => {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1_000) + 3_600
  const message = `${part(header)}.${part({ sub: user, exp, ...claims })}`
  return `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`
}

class Server {
  constructor (child, dataDir) {
    this.child = child
    this.dataDir = dataDir
    this.log = ''
    this.exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
    child.on('error', error => { this.log += error })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { this.log += chunk })
  }

  /** What clients connect to; y-websocket adds the document's id. */
  get url () {
    return `ws://127.0.0.1:${this.port}/sync/v1`
  }

  get http () {
    return `http://127.0.0.1:${this.port}`
  }

  /** Waits until it serves. It chooses its own port, which nobody can take before. */
  async ready () {
    await eventually('the server listens', () => {
      if (this.child.exitCode !== null) throw new Error(`the server ended: ${this.log}`)
      const line = this.logLines.find(({ message }) => message === 'listening')
      this.port = line && Number(new URL(`http://${line.address}`).port)
      return this.port
    })
    await eventually('the server answers /healthz', async () => {
      if (this.child.exitCode !== null) throw new Error(`the server ended: ${this.log}`)
      const response = await fetch(`${this.http}/healthz`, { signal: AbortSignal.timeout(5_000) }).catch(() => null)
      return response?.ok
    })
  }

  /** Memory that the server holds, in bytes. */
  async residentBytes () {
    const status = await readFile(`/proc/${this.child.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024
  }

  /** Its counters and gauges, summed over labels, by name without prefix and suffix. */
  async metrics () {
    const text = await (await fetch(`${this.http}/metrics`)).text()
    const sums = {}
    for (const [, name, value] of text.matchAll(/^ysyncd_(\w+?)(?:_total)?(?:\{.*\})? (\S+)$/gm)) {
      sums[name] = (sums[name] ?? 0) + Number(value)
    }
    return sums
  }

  /** The lines of the log so far, parsed. */
  get logLines () {
    const lines = this.log.split('\n').filter(line => line.startsWith('{') && line.endsWith('}'))
    return lines.map(line => JSON.parse(line))
  }

  /** Ends the server by its pid and says how it ended. */
  async stop (signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal)
    return await this.exited
  }
}
