// What a second shard is worth, as far as two processors can tell while the
// generator needs one of them.
//
//   LOADGEN=… node bench/shards.mjs [--rounds 9] [--rate 15000]
//
// How fast two are by the clock cannot be seen there, but what they cost one
// another can: if an update costs the same, two do twice as much as one. It is
// measured twice.
//
// - As fast as it goes, with all threads of the server on one processor: two
//   shards against one. What sharding itself costs is left.
// - At a rate, on both processors: one server of two shards against two servers
//   of one. What shards share in a process is left: memory, sockets, caches.
//
// Who is compared takes turns, and each round is compared in itself.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DATA_DEFAULT, generate, spread, withServers } from './load.mjs'

/** Rooms of three that all write. */
const rooms = docs => ['rooms', '--docs', String(docs), '--clients', '3', '--writers', '3', '--warm', '1', '--secs', '4']

const updatesPerCpuSecond = runs => {
  const sum = figure => runs.reduce((sum, run) => sum + run[figure], 0)
  return sum('sent') / sum('srv_cpu_s')
}

/** As many servers of as many shards, on one processor. */
const asFastAsItGoes = ({ shards, data }) => withServers([{ SHARDS: shards }], { data, apart: true }, async ([server]) => {
  const run = await generate(server, [...rooms(500), '--window', '1'], { apart: true })
  return run.updates_per_cpu_s
})

/** Two generators: for a server each, or both for one. */
const atARate = ({ environments, rate, data }) => withServers(environments, { data }, async servers => {
  const halves = ['a', 'b'].map((prefix, half) =>
    generate(servers[half] ?? servers[0], [...rooms(250), '--rate', String(rate)], { prefix }))
  const runs = await Promise.all(halves)
  // Where both measured the same server, each has seen all of its time.
  return updatesPerCpuSecond(runs) * (servers.length === 1 ? 2 : 1)
})

/**
 * Measures both.
 * @returns {Promise<{load: string, one: string, two: string, times: string}[]>} medians, with the smallest and the largest
 */
export const compareShards = async ({ rounds, rate, data }) => {
  const loads = {
    'as fast as it goes, all on one processor: one shard, two shards': {
      one: () => asFastAsItGoes({ shards: '1', data }),
      two: () => asFastAsItGoes({ shards: '2', data })
    },
    [`${2 * rate} updates/s on two processors: two servers of one, one of two`]: {
      one: () => atARate({ environments: [{ SHARDS: '1' }, { SHARDS: '1' }], rate, data }),
      two: () => atARate({ environments: [{ SHARDS: '2' }], rate, data })
    }
  }
  const rows = []
  for (const [load, measured] of Object.entries(loads)) {
    const figures = { one: [], two: [] }
    for (let round = 0; round < rounds; round++) {
      // Who goes first changes, as the machine gets busier or less busy.
      for (const who of round % 2 === 0 ? ['one', 'two'] : ['two', 'one']) figures[who].push(await measured[who]())
    }
    const times = figures.one.map((one, round) => 2 * figures.two[round] / one)
    rows.push({ load, one: spread(figures.one), two: spread(figures.two), times: spread(times) })
  }
  return rows
}

/** The same as a table for people. */
export const shardsTable = rows => [
  '| load | first: updates per CPU-second | second | two shards are worth |',
  '|---|---|---|---|',
  ...rows.map(({ load, one, two, times }) => `| ${load} | ${one} | ${two} | ${times} |`)
].join('\n')

const main = async () => {
  const { values: options } = parseArgs({
    options: {
      rounds: { type: 'string', default: '9' },
      rate: { type: 'string', default: '15000' },
      data: { type: 'string', default: DATA_DEFAULT }
    }
  })
  console.log(shardsTable(await compareShards({ rounds: Number(options.rounds), rate: Number(options.rate), data: options.data })))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
