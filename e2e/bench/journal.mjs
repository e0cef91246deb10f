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
import { parseArgs } from 'node:util'
import { DATA_DEFAULT, generate, spread, withServers } from './load.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    rooms: { type: 'string', default: '500' },
    data: { type: 'string', default: DATA_DEFAULT }
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
  for (const [name, { args, figures }] of Object.entries(LOADS)) {
    const results = new Map(Object.keys(SERVERS).map(server => [server, []]))
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [server, env] of Object.entries(SERVERS)) {
        results.get(server).push(await withServers([env], options, ([server]) => generate(server, args)))
      }
    }
    print(name, figures, results)
  }
}

/** A table of medians, with the smallest and the largest. */
const print = (name, figures, results) => {
  console.log(`\n${name}, median of ${options.rounds} (smallest to largest)\n`)
  console.log(`| journal | ${figures.join(' | ')} |\n|${'---|'.repeat(figures.length + 1)}`)
  for (const [server, runs] of results) {
    const cells = figures.map(figure => spread(runs.map(run => run[figure])))
    console.log(`| ${server} | ${cells.join(' | ')} |`)
  }
}

await main()
