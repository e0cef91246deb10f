// Holds the engine against Yjs over random histories.
//
//     node differential/run.mjs --seeds 1..200 [--checks load,diff] [--all]
//
// The same seed makes the same history, on every machine. Ends with 1 on any
// mismatch; --all prints every one, not only the first of each check.
import { parseArgs } from 'node:util'
import * as Y from 'yjs'
import { emptyDoc } from './content.mjs'
import { CHECKS, Mismatch } from './checks.mjs'
import { Engine } from './engine.mjs'
import { historyOf, REMOTE } from './history.mjs'
import { randomOf } from '../lib/random.mjs'
import { splitDeletes, withJson } from './updates.mjs'

const { values: options } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..200' },
    checks: { type: 'string', default: '' },
    all: { type: 'boolean', default: false }
  }
})

const main = async () => {
  const [first, last] = options.seeds.split('..').map(Number)
  const engine = new Engine()
  const report = new Report()
  for (let seed = first; seed <= (last ?? first); seed++) {
    const made = caseOf(seed)
    report.add(made)
    for (const [name, check] of chosenChecks(made)) await runCheck(engine, report, made, name, check)
  }
  engine.stop()
  report.print()
  process.exitCode = report.failed ? 1 : 0
}

/** A history and what becomes of it before a server sees it. */
const caseOf = seed => {
  const history = historyOf(seed)
  const random = randomOf(seed ^ 0x5eed)
  let log = withCleanUps(history.log)
  const isJson = random.once(4)
  if (isJson) log = log.map(withJson)
  const hasHoles = random.once(4)
  if (hasHoles) log = log.filter(() => !random.once(10))
  const losesDeletes = random.once(6)
  if (losesDeletes) log = log.flatMap(update => splitDeletes(update)).filter((_, i) => i % 2 === 0 || !random.once(4))
  return { ...history, log, isJson, hasHoles, losesDeletes }
}

/**
 * The log, and what a client adds that applies it update by update: it deletes
 * formats that have become redundant, and sends that like any edit.
 */
const withCleanUps = log => {
  const written = []
  const doc = emptyDoc()
  doc.on('update', (update, origin) => { if (origin !== REMOTE) written.push(update) })
  for (const update of log) Y.applyUpdate(doc, update, REMOTE)
  return [...log, ...written]
}

const chosenChecks = ({ hasHoles, losesDeletes }) => {
  const checks = Object.entries({
    ...CHECKS.always,
    ...(hasHoles ? {} : CHECKS.withoutHoles),
    ...(hasHoles || losesDeletes ? {} : CHECKS.complete)
  })
  const wanted = options.checks.split(',').filter(Boolean)
  return wanted.length === 0 ? checks : checks.filter(([name]) => wanted.includes(name))
}

const runCheck = async (engine, report, made, name, check) => {
  const used = new Set()
  const slot = number => {
    const document = engine.document(number)
    // Answers come in turn, so nobody has to wait for this one.
    if (!used.has(number)) document.reset()
    used.add(number)
    return document
  }
  const random = randomOf(made.seed * 31 + name.length)
  const start = performance.now()
  let mismatch = null
  try {
    await check({ ...made, random, slot, count: (what, by = 1) => report.count(what, by) })
  } catch (error) {
    mismatch = error instanceof Mismatch ? error.message : error.stack
  }
  report.checked(name, made.seed, performance.now() - start, mismatch)
}

class Report {
  constructor () {
    this.failed = false
    this.histories = { histories: 0, updates: 0, bytes: 0, 'with ContentJSON': 0, 'with cut pairs': 0, 'with holes': 0, 'with lost deletes': 0 }
    this.checks = {}
    this.counts = {}
  }

  add ({ log, isJson, cutsPairs, hasHoles, losesDeletes }) {
    this.histories.histories++
    this.histories.updates += log.length
    this.histories.bytes += log.reduce((sum, update) => sum + update.length, 0)
    if (isJson) this.histories['with ContentJSON']++
    if (cutsPairs) this.histories['with cut pairs']++
    if (hasHoles) this.histories['with holes']++
    if (losesDeletes) this.histories['with lost deletes']++
  }

  count (what, by) {
    this.counts[what] = (this.counts[what] ?? 0) + by
  }

  checked (name, seed, ms, mismatch) {
    const row = this.checks[name] ??= { histories: 0, failed: 0, 'first failing seed': '', seconds: 0 }
    row.histories++
    row.seconds += ms / 1000
    if (mismatch === null) return
    if (row.failed++ === 0) row['first failing seed'] = seed
    if (row.failed === 1 || options.all) {
      console.log(`seed ${seed}, ${name}: ${mismatch}\n    again: node differential/run.mjs --seeds ${seed}..${seed} --checks ${name}`)
    }
    this.failed = true
  }

  print () {
    for (const row of Object.values(this.checks)) row.seconds = Number(row.seconds.toFixed(1))
    console.table(this.histories)
    console.table(this.checks)
    console.table(this.counts)
  }
}

await main()
