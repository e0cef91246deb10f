// Holds the engine against Yjs over updates that the grammar allows, far beyond
// what clients write: what the engine accepts must never make a later diff or
// snapshot throw in a fresh Y.Doc, and must load to what came.
//
//     node differential/grammar.mjs --seeds 1..30000
//
// The updates are those of engine/examples/grammar.rs. Tame ones could be some
// clients': Yjs must take all that the engine tells of them. Wild ones name
// whatever came before, and Yjs gives them another content in another order. It
// throws at a few as they came, once it collects the garbage of a deleted type
// among whose entries something lives. What the engine tells of these it must
// take all the same, as the engine keeps what can make it so apart.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import * as Y from 'yjs'
import { contentOf, emptyDoc, stateVectorOf } from './content.mjs'
import { Engine } from './engine.mjs'

const GENERATOR = process.env.YSYNCD_GRAMMAR ??
  fileURLToPath(new URL('../../target/release/examples/grammar', import.meta.url))
const NOTHING = new Uint8Array([0])

const { values: options } = parseArgs({ options: { seeds: { type: 'string', default: '1..2000' } } })

const main = async () => {
  const [first, last] = options.seeds.split('..')
  const engine = new Engine()
  const counts = { cases: 0, updates: 0, accepted: 0, 'cases that Yjs throws at as they came': 0, 'cases that wait for something': 0, failed: 0 }
  const thrown = {}
  let seed = Number(first)
  for await (const made of casesOf(first, last)) {
    const failure = await check(engine, made, counts, thrown)
    if (failure && counts.failed++ < 5) {
      console.log(`seed ${seed}: ${failure}\n    again: node differential/grammar.mjs --seeds ${seed}..${seed}`)
    }
    seed++
  }
  engine.stop()
  console.table(counts)
  if (Object.keys(thrown).length > 0) console.table(thrown)
  process.exitCode = counts.failed > 0 ? 1 : 0
}

/** What is wrong with a case, or nothing. */
const check = async (engine, { tame, updates }, counts, thrown) => {
  const document = engine.document(0)
  document.reset()
  const accepted = []
  const half = updates.length >> 1
  let early = NOTHING
  const relayed = []
  for (const [i, update] of updates.entries()) {
    const { error, newPart, resend } = await document.apply(update)
    if (error) {
      if (tame) return `a tame update is refused: ${error}`
      continue
    }
    accepted.push(update)
    for (const part of [newPart, resend]) if (part) relayed.push(part)
    if (i === half) early = await document.encode()
  }
  counts.cases++
  counts.updates += updates.length
  counts.accepted += accepted.length

  const raw = load(accepted, tame)
  if (raw.error) {
    if (tame) return `Yjs throws at tame updates as they came: ${raw.error}`
    counts['cases that Yjs throws at as they came']++
    thrown[raw.error] = (thrown[raw.error] ?? 0) + 1
  }
  if (raw.doc?.store.pendingStructs) counts['cases that wait for something']++

  const peer = early === NOTHING ? { doc: emptyDoc() } : load([early])
  const vector = peer.error ? NOTHING : Y.encodeStateVector(peer.doc)
  const told = { snapshot: [await document.encode()], relay: relayed }
  if (!peer.error) told.diff = [early, await document.diff(vector)].filter(bytes => bytes !== NOTHING)
  await document.compact(false)
  told['compacted, all kept'] = [await document.encode()]
  await document.compact(true)
  told.compacted = [await document.encode()]
  if (!peer.error) told['diff of what was compacted'] = [early, await document.diff(vector)].filter(bytes => bytes !== NOTHING)
  for (const [what, parts] of Object.entries(told)) {
    const loaded = load(parts, tame)
    if (loaded.error) return `${what}: Yjs throws: ${loaded.error}`
    if (!tame) continue
    // In as many steps: at the end of each, Yjs cleans formats up.
    const [before, after] = [accepted.slice(0, half + 1), accepted.slice(half + 1)]
    const likewise = what === 'relay' ? accepted : parts.length === 1 ? [merged(accepted)] : [merged(before), merged(after)]
    const [got, want] = [describe(loaded.doc), describe(load(likewise).doc)]
    if (got !== want) return `${what}: another content\n    got  ${got}\n    want ${want}`
  }
}

const merged = updates => updates.length > 0 ? Y.mergeUpdates(updates) : new Uint8Array(2)

/**
 * Loads updates one after the other, and encodes and loads them again. Looks at
 * the content only if it is tame: none that is not has to make sense.
 */
const load = (updates, tame = false) => {
  const doc = emptyDoc()
  try {
    for (const update of updates) Y.applyUpdate(doc, update)
    Y.applyUpdate(new Y.Doc(), Y.encodeStateAsUpdate(doc))
    if (tame) describe(doc)
    return { doc }
  } catch (error) {
    return { error: `${error.message} ${/at (\S+)/.exec(error.stack)?.[0] ?? ''}` }
  }
}

/**
 * Content and clocks, not how it is cut and what is deleted: Yjs deletes formats
 * that have become redundant as it applies one update after the other, and
 * others when all come at once.
 */
const describe = doc => `${stateVectorOf(doc)} ${JSON.stringify(joined(JSON.parse(contentOf(doc))))}`

/** Texts that follow each other in one format are one. */
const joined = value => {
  if (value === null || typeof value !== 'object') return value
  if (!Array.isArray(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, joined(inner)]))
  const out = []
  for (const part of value.map(joined)) {
    const [last, next] = [out.at(-1), part].map(insert)
    if (last && next && last.format === next.format) last.of[1] += next.of[1]
    else out.push(part)
  }
  return out
}

/** The text that a part of a delta inserts, and in which format. */
const insert = part => {
  const entries = Array.isArray(part?.object) ? part.object : []
  const of = entries.find(([key, value]) => key === 'insert' && typeof value === 'string')
  return of && { of, format: JSON.stringify(entries.filter(entry => entry !== of)) }
}

/** The cases of some seeds, in turn. */
async function * casesOf (first, last) {
  const child = spawn(GENERATOR, [first, last], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  let input = Buffer.alloc(0)
  for await (const chunk of child.stdout) {
    input = Buffer.concat([input, chunk])
    for (;;) {
      const read = readCase(input)
      if (!read) break
      input = input.subarray(read.end)
      yield read
    }
  }
  const [code] = await ended
  if (code !== 0 || input.length > 0) throw new Error(`the generator ended with ${code}`)
}

/** The case at the front, if all of it has come. */
const readCase = input => {
  if (input.length < 5) return null
  const updates = []
  let end = 5
  for (let left = input.readUInt32LE(1); left > 0; left--) {
    if (input.length < end + 4) return null
    const start = end + 4
    end = start + input.readUInt32LE(end)
    if (input.length < end) return null
    updates.push(new Uint8Array(input.subarray(start, end)))
  }
  return { tame: input[0] === 1, updates, end }
}

await main()
