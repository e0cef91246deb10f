// Measures this server beside its peers, and writes docs/BENCHMARKS.md with its
// pictures. Run by scripts/bench, which builds what this needs.
//
//   YSYNCD_BIN=… SHARED=… LOADGEN=… PEERS=… node bench/compare.mjs [--peers a,b] [--reps 3]
//
// Peers that are not installed under PEERS are left out.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DATA_DEFAULT, LIMITS, median } from './load.mjs'
import { bars, curves } from './pictures.mjs'
import { compareShards, shardsTable } from './shards.mjs'

const { YSYNCD_BIN, SHARED, LOADGEN, PEERS } = process.env
const root = fileURLToPath(new URL('../..', import.meta.url))
const { values: options } = parseArgs({
  options: { peers: { type: 'string' }, reps: { type: 'string', default: '3' } }
})

/** What says that a peer is installed, and how clients reach it. */
const KNOWN = {
  'y-sweet': { file: 'ysweet/bin/y-sweet', protocol: 'y', path: '/d/{doc}/ws/{doc}' },
  'y-websocket': { file: 'node/node_modules/@y', protocol: 'y', path: '/{doc}' },
  hocuspocus: { file: 'node/node_modules/@hocuspocus', protocol: 'hocuspocus', path: '/' },
  pycrdt: { file: 'py/bin/uvicorn', protocol: 'y', path: '/{doc}' },
  'relay-raw': { file: 'target-relay/release', protocol: 'relay', path: '/{doc}' }
}

/** Relays know no documents: what the kernel alone costs. */
const CEILING = 'relay-raw'

/** Figures of the table: scenario, key, what it is, whether more is better. */
const FIGURES = [
  ['fanout-closed', 'deliveries_per_cpu_s', 'one room of 100, as fast as it goes: deliveries per CPU-second', true],
  ['fanout', 'deliveries_per_cpu_s', 'one room of 100, 50 edits/s: deliveries per CPU-second', true],
  ['rooms-closed', 'updates_per_cpu_s', '500 rooms of 3, all write: updates per CPU-second', true],
  ['apply', 'updates_per_cpu_s', 'one writer, 20,000 keystrokes: updates per CPU-second', true],
  ['apply-big', 'updates_per_cpu_s', '200 keystrokes into a document of 1.67 MB: updates per CPU-second', true],
  ['apply-big-long', 'updates_per_cpu_s', '20,000 keystrokes into it: updates per CPU-second', true],
  ['join', 'cpu_ms_per_join', 'joining a document of 1.67 MB: CPU ms', false],
  ['idle', 'bytes_per_conn', '5,000 idle connections: bytes each', false]
]

/** What the generator's own script does not run, as most peers would take too long: ours only. */
const LONG = { 'apply-big-long': ['apply', '--big', '--ops', '20000', '--timeout', '40'] }

/** Edits a second in one room of 100. */
const RATES = [50, 100, 200, 400, 800, 1600]

const main = async () => {
  const scratch = mkdtempSync(join(root, 'target', 'bench-'))
  try {
    const servers = { ...ours(scratch), ...installed() }
    const results = [...measure(servers, scratch), ...await measureLong(servers)]
    const latencies = await measureLatencies(servers)
    const shards = await compareShards({ rounds: 2 * Number(options.reps) + 1, rate: 15_000, data: DATA_DEFAULT })
    write(servers, results, latencies, shards)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

/** Our server without and with its journal, started by a script each. */
const ours = scratch => {
  const secret = 'a secret for benchmarks'
  const token = execFileSync(YSYNCD_BIN, ['token', 'bench'], {
    env: { ...process.env, SYNC_SHARED_SECRET: secret }, encoding: 'utf8'
  }).trim()
  const server = (name, journal) => {
    const script = join(scratch, name)
    const limits = Object.entries(LIMITS).map(([name, value]) => `${name}=${value}`).join(' ')
    writeFileSync(script, `#!/bin/sh
export SYNC_SHARED_SECRET='${secret}' JOURNAL=${journal} DATA_DIR="$(mktemp -d ${scratch}/data-XXXXXX)"
export ${limits}
exec '${YSYNCD_BIN}' serve --log error --port "$1"
`)
    chmodSync(script, 0o755)
    return { protocol: 'y', path: '/sync/v1/{doc}', command: [script], headers: [`Authorization: Bearer ${token}`] }
  }
  return { ysyncd: server('ysyncd', 'off'), 'ysyncd+journal': server('ysyncd-journal', 'on') }
}

const installed = () => {
  const wanted = options.peers?.split(',') ?? Object.keys(KNOWN)
  const there = wanted.filter(name => {
    const is = existsSync(join(PEERS, KNOWN[name].file))
    if (!is) console.error(`${name} is not installed, and is left out: see ${SHARED}/bench/peers/setup.sh`)
    return is
  })
  const start = join(SHARED, 'bench', 'peers', 'start.sh')
  return Object.fromEntries(there.map(name => [name, { ...KNOWN[name], command: [start, name], headers: [] }]))
}

/** All scenarios, all servers in turns, by the generator's own script. */
const measure = (servers, scratch) => {
  const own = Object.entries(servers).filter(([, server]) => server.headers.length > 0)
  const extra = own.flatMap(([name, { protocol, path, command, headers }]) =>
    ['--extra', [name, protocol, path, `${command.join(' ')} {port}`, ...headers].join('|')])
  const out = join(scratch, 'results')
  execFileSync('python3', [
    join(SHARED, 'bench', 'run.py'), '--out', out, '--reps', options.reps, '--budget', '900',
    '--peers', Object.keys(servers).join(','),
    '--scenarios', FIGURES.map(([scenario]) => scenario).filter(scenario => !(scenario in LONG)).join(','), ...extra
  ], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PEERS, LOADGEN } })
  return JSON.parse(readFileSync(join(out, 'results.json'))).results
}

const measureLong = async servers => {
  const own = Object.entries(servers).filter(([, server]) => server.headers.length > 0)
  const results = []
  for (const [scenario, load] of Object.entries(LONG)) {
    for (let rep = 0; rep < Number(options.reps); rep++) {
      for (const [peer, server] of own) results.push({ ...await underLoad(server, load), scenario, peer })
    }
  }
  return results
}

const measureLatencies = async servers => {
  const latencies = []
  for (const rate of RATES) {
    for (const [name, server] of Object.entries(servers)) {
      const result = await underLoad(server, ['fanout', '--clients', '100', '--writers', '10',
        '--rate', String(rate), '--secs', '3', '--warm', '1'])
      if (result?.p99_ms !== undefined) latencies.push({ name, rate, p50: result.p50_ms, p99: result.p99_ms })
      console.error(`${rate} edits/s, ${name}: p99 ${result?.p99_ms ?? '-'} ms`)
    }
  }
  return latencies
}

const underLoad = async ({ command, protocol, path, headers }, load) => {
  const port = 24_000 + Math.floor(Math.random() * 4_000)
  const server = spawn('taskset', ['-c', '0', ...command, String(port)], { stdio: 'ignore', detached: true })
  try {
    await listening(port)
    const args = ['-c', '1', LOADGEN, ...load, '--url', `ws://127.0.0.1:${port}${path}`, '--protocol', protocol,
      '--pid', String(server.pid), ...headers.flatMap(header => ['--header', header])]
    const lines = execFileSync('taskset', args, { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] })
    return JSON.parse(lines.trim().split('\n').at(-1))
  } catch (error) {
    console.error(`left out: ${error.message.split('\n')[0]}`)
    return undefined
  } finally {
    await end(server)
  }
}

/** Ends a server and what its script has started, if need be by force. */
const end = async server => {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = once(server, 'exit')
  process.kill(-server.pid, 'SIGTERM')
  const timer = setTimeout(() => process.kill(-server.pid, 'SIGKILL'), 3_000)
  await ended
  clearTimeout(timer)
}

const listening = async port => {
  for (let tries = 0; tries < 200; tries++) {
    const socket = connect(port, '127.0.0.1')
    const is = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false, () => false)])
      .catch(() => false)
    socket.destroy()
    if (is) return
    await sleep(50)
  }
  throw new Error('the server does not listen')
}

const write = (servers, results, latencies, shards) => {
  const names = Object.keys(servers)
  const rows = FIGURES.map(([scenario, key, label, isMore]) => {
    const values = names.map(name => median(results
      .filter(result => result.scenario === scenario && result.peer === name && result.converged !== false)
      .map(result => result[key]).filter(value => value !== undefined)))
    return { label, isMore, values }
  })
  mkdirSync(join(root, 'docs'), { recursive: true })
  writeFileSync(join(root, 'docs', 'bench-throughput.svg'), bars('What a second of the processor, or a connection, gives', names, rows))
  writeFileSync(join(root, 'docs', 'bench-latency.svg'), curves('One room of 100: 99 of 100 edits are with everybody within', names, latencies))
  writeFileSync(join(root, 'docs', 'BENCHMARKS.md'), page(names, rows, shards))
}

const page = (names, rows, shards) => {
  const best = ({ isMore, values }) => {
    const peers = values.filter((value, i) => value !== undefined && names[i] !== CEILING && !names[i].startsWith('ysyncd'))
    if (peers.length === 0 || values[0] === undefined) return '-'
    const peer = isMore ? Math.max(...peers) : Math.min(...peers)
    return `${(isMore ? values[0] / peer : peer / values[0]).toFixed(1)}×`
  }
  const cells = row => row.values.map(value => value === undefined ? '-' : format(value))
  const version = execFileSync(YSYNCD_BIN, ['--version'], { encoding: 'utf8' }).trim()
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  return `# Benchmarks

Written by \`scripts/bench\` on ${new Date().toISOString().slice(0, 10)}: ${version} at ${commit},
${cpus()[0].model}, ${cpus().length} cores, Linux ${release()}. Run it to have the same for your machine.

| | ${names.join(' | ')} | ysyncd against the best peer |
|---${'|---:'.repeat(names.length + 1)}|
${rows.map(row => `| ${row.label} | ${cells(row).join(' | ')} | ${best(row)} |`).join('\n')}

\`${CEILING}\` relays bytes and knows no documents: it is what the kernel alone costs.

![Figures as bars](bench-throughput.svg)

![Latency against load](bench-latency.svg)

## Two shards

${shardsTable(shards)}

The generator needs one of two processors, so that two shards cannot be seen to do twice
as much by the clock. Instead it is compared what an update costs: with all threads of the server on
one processor, by one shard and by two; and on both, by two servers of one shard and by one
of two, under the same load. Medians, with the smallest and the largest.

## How it is measured

Each scenario starts a fresh server on core 0; the generator, one thread of bare
sockets, is on core 1. Servers take turns, ${options.reps} times where the figure varies; the
table has medians. Every run ends with all clients holding what all writers wrote, or
it does not count. Figures are for a second of the server's processor time, as it is
the one that is the same whether or not the machine has more to do; in the open loop
latency counts from when an edit was to be sent. A server that is short of time sends
more in one write, so compare its edits at a steady 50/s, too, where there is nothing
to put together. 200 keystrokes are what all can bear with a large document; a run's own
cost, such as that of a snapshot, is then most of ours. 20,000 of them show that a
keystroke costs the same there as in an empty document.

\`ysyncd\` runs without its journal, as no peer has one, and \`ysyncd, journal on\` with
it: each edit is on the disk before anybody sees it. Limits are as they are by default
but for those on one user, as one client stands for all.

What the engine alone costs is measured by \`cargo bench -p ysyncd-engine\`, and in
instructions, which do not depend on the machine, by \`scripts/instructions\`.
`
}

const format = value => value >= 100
  ? Math.round(value).toLocaleString('en-US')
  : String(Number(value.toPrecision(3)))

await main()
