// What the journal costs: the same load with it and without, in turns.
//
//   node bench/journal.mjs [--rounds 5] [--rooms 500] [--data FOLDER]
//
// The load comes from the generator in the shared folder (bench/loadgen), one
// thread of bare sockets, so that Node measures nothing. Build it once:
//
//   cargo build --release --locked --manifest-path ../../shared/bench/loadgen/Cargo.toml --target-dir FOLDER
//   LOADGEN=FOLDER/release/loadgen node bench/journal.mjs
//
// DATA_DIR lies in --data (default: target/), which must be a real disk: a tmpfs
// syncs for free. Compare columns, not runs: the machine changes meanwhile.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { launch, token } from '../lib/server.mjs'

const { LOADGEN } = process.env
if (!LOADGEN) throw new Error('LOADGEN is not set: see the head of this file')

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    rooms: { type: 'string', default: '500' },
    data: { type: 'string', default: fileURLToPath(new URL('../../target', import.meta.url)) }
  }
})

const SERVERS = {
  off: { JOURNAL: 'off' },
  interval: { JOURNAL: 'on', JOURNAL_SYNC: 'interval' },
  always: { JOURNAL: 'on', JOURNAL_SYNC: 'always' }
}

const room = ['--clients', '3', '--writers', '3', '--warm', '1', '--secs', '3']

/** What is done, and which figures of it count. */
const LOADS = {
  'one room, 20 edits/s': {
    args: ['fanout', ...room, '--rate', '20'],
    figures: ['p50_ms', 'p99_ms']
  },
  'rooms, 2 edits/s in each': {
    args: ['rooms', ...room, '--docs', '100', '--rate', '200'],
    figures: ['p50_ms', 'p99_ms']
  },
  'rooms, as fast as it goes': {
    args: ['rooms', ...room, '--docs', options.rooms, '--window', '1'],
    figures: ['deliveries_per_s', 'p50_ms', 'p99_ms', 'updates_per_cpu_s', 'gen_cpu_frac']
  },
  'one writer, as fast as it goes': {
    args: ['apply', '--ops', '50000'],
    figures: ['updates_per_s', 'updates_per_cpu_s']
  }
}

const main = async () => {
  mkdirSync(options.data, { recursive: true })
  for (const [name, { args, figures }] of Object.entries(LOADS)) {
    const results = new Map(Object.keys(SERVERS).map(server => [server, []]))
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [server, env] of Object.entries(SERVERS)) results.get(server).push(await measure(args, env))
    }
    print(name, figures, results)
  }
}

/** One run of the generator against a fresh server. */
const measure = async (args, env) => {
  const dataDir = mkdtempSync(join(options.data, 'bench-data-'))
  const server = launch({ dataDir, env })
  try {
    await server.ready()
    const result = await generate([
      ...args, '--url', `${server.url}/{doc}`, '--pid', String(server.child.pid), '--header', `Authorization: Bearer ${token()}`
    ])
    if (result.converged === false || result.errors?.length > 0) throw new Error(`the run is void: ${JSON.stringify(result)}`)
    return result
  } finally {
    await server.stop()
    rmSync(dataDir, { recursive: true })
  }
}

const generate = async args => {
  const child = spawn(LOADGEN, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', chunk => { out += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the generator ended with ${code}: ${out}`)
  return JSON.parse(out.trim().split('\n').at(-1))
}

/** A table of medians, with the smallest and the largest. */
const print = (name, figures, results) => {
  console.log(`\n${name}, median of ${options.rounds} (smallest to largest)\n`)
  console.log(`| journal | ${figures.join(' | ')} |\n|${'---|'.repeat(figures.length + 1)}`)
  for (const [server, runs] of results) {
    const cells = figures.map(figure => {
      const sorted = runs.map(run => run[figure]).sort((a, b) => a - b)
      return `${short(sorted[sorted.length >> 1])} (${short(sorted[0])} to ${short(sorted.at(-1))})`
    })
    console.log(`| ${server} | ${cells.join(' | ')} |`)
  }
}

const short = number => Math.abs(number) >= 100 ? String(Math.round(number)) : String(Number(number?.toPrecision(3)))

await main()
