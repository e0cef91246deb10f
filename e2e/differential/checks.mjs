// What must hold of the engine after a random history. Each check throws a
// Mismatch where it does not.
import * as Y from 'yjs'
import { contentOf, deletesOf, emptyDoc, everythingOf, isPending, stateOf, stateVectorOf } from './content.mjs'
import { edit } from './edits.mjs'
import { REMOTE } from './history.mjs'
import { cutAt, deletedRanges, flatRanges, knownRuns, mergeRanges, namedDeletes, normalized, rangesText, stateVectorOfRuns } from './updates.mjs'

export class Mismatch extends Error {}

/**
 * A Yjs client that edits inside of a surrogate pair breaks the pair in its own
 * copy, even where the edit then changes nothing and is never sent. So its
 * content can differ from everybody else's, whoever serves it.
 */
const HALVES_OF_PAIRS = /[\ud800-\udfff\ufffd]/g

const NOTHING = new Uint8Array([0])

/** By name, and what they need: no update lost, no delete lost. */
export const CHECKS = {
  always: { order, load, diff, roundTrip },
  withoutHoles: { relay, live },
  complete: { peers }
}

/**
 * @typedef {object} Case
 * @property {ReturnType<import('../lib/random.mjs').randomOf>} random
 * @property {Uint8Array[]} log what a server received
 * @property {Uint8Array[]} states what some writers held at some moments
 * @property {boolean} hasHoles whether some of the log got lost
 * @property {boolean} cutsPairs whether writers edit inside of surrogate pairs
 * @property {(slot: number) => import('./engine.mjs').EngineDocument} slot empty documents
 * @property {(name: string, by?: number) => void} count for the table
 */

/** State vector and delete set do not depend on the order of what came, nor on repetitions. */
async function order ({ random, log, slot }) {
  const runs = knownRuns(log)
  const expected = { stateVector: stateVectorOfRuns(runs), runs: rangesText(runs), deletes: rangesText(deletedRanges(log)) }
  const compacted = []
  for (const [i, updates] of [log, random.shuffled([...log, ...log.slice(0, 20)])].entries()) {
    const document = slot(i)
    await applyAll(document, updates)
    const encoded = await document.encode()
    equal('state vector', hex(await document.stateVector()), expected.stateVector)
    equal('known clocks', rangesText(knownRuns([encoded])), expected.runs)
    equal('delete set', rangesText(namedDeletes(encoded)), expected.deletes)
    await document.compact(true)
    const bytes = await document.encode()
    equal('state vector, compacted', hex(await document.stateVector()), expected.stateVector)
    equal('known clocks, compacted', rangesText(knownRuns([bytes])), expected.runs)
    // It may have grown by what became garbage with its parent; nothing else.
    equal('delete set, compacted', rangesText(namedDeletes(bytes)), rangesText(deletedRanges([...log, bytes])))
    compacted.push(loaded([bytes], true))
  }
  equalDocs('compacted, in another order', compacted[1], compacted[0])
}

/** A Y.Doc that loads the engine's state is one that loads Yjs's merge of the log. */
async function load ({ log, slot, count }) {
  const document = slot(0)
  await applyAll(document, log)
  const merged = Y.mergeUpdates(log)
  if (rangesText(knownRuns([merged])) !== rangesText(knownRuns(log))) {
    // Then it is no oracle. It happens to none of our logs; count it, so that it shows.
    count('lost by Y.mergeUpdates')
    return
  }
  const wanted = { true: loaded([merged], true), false: loaded([merged], false) }
  if (wanted.true.written.length > 0) count('formats cleaned at load')
  if (isPending(wanted.true.doc)) count('loads with gaps')
  equalDocs('as it came', loaded([await document.encode()], true), wanted.true)
  await document.compact(false)
  equalDocs('squashed', loaded([await document.encode()], true), wanted.true)
  equalDocs('squashed, content of deleted structs', loaded([await document.encode()], false), wanted.false)
  await document.compact(true)
  const compacted = await document.encode()
  equalDocs('compacted', loaded([compacted], true), wanted.true)
  equal('content for clients without gc', contentOf(loaded([compacted], false).doc), contentOf(wanted.false.doc))
  await document.compact(true)
  equalDocs('compacted twice', loaded([await document.encode()], true), wanted.true)
}

/** A diff holds what Yjs cuts from the same state, at whatever clocks. */
async function diff ({ random, log, slot, count }) {
  const document = slot(0)
  await applyAll(document, log)
  const ends = [...knownRuns(log)]
  for (const compact of [null, false, true]) {
    if (compact !== null) await document.compact(compact)
    const whole = await document.encode()
    for (let i = 0; i < 6; i++) {
      const known = Y.encodeStateVector(new Map(ends
        .filter(() => !random.once(5))
        .map(([client, { end }]) => [client, random(end + 2)])))
      count('diffs compared')
      equal(`diff at ${hex(known)}, compact ${compact}`, normalized(await document.diff(known)), normalized(Y.diffUpdate(whole, known)))
    }
  }
}

/** A live struct that was sliced in two is squashed into one again. */
async function roundTrip ({ random, log, hasHoles, slot, count }) {
  const [document, other] = [slot(0), slot(1)]
  await applyAll(document, log)
  await document.compact(false)
  const whole = await document.encode()
  const clocks = new Map([...knownRuns(log)].map(([client, { end }]) => [client, random(end + 1)]))
  // Where the head ends: `cutAt` never cuts a pair.
  const head = cutAt(whole, client => clocks.get(client))
  const known = clocksOf(head)
  await applyAll(other, random.shuffled([await document.diff(known), head]))
  await other.compact(false)
  equalDocs('sliced and squashed again', loaded([await other.encode()], false), loaded([whole], false))
  // Where an origin is missing nobody can tell a map entry, which must not be
  // squashed, from text.
  if (hasHoles) return
  const again = new Set(Y.decodeUpdate(await other.encode()).structs.map(nameOf))
  const { structs, ds } = Y.decodeUpdate(whole)
  const ends = Y.decodeStateVector(known)
  for (const struct of structs) {
    const { client, clock } = struct.id
    const cut = ends.get(client)
    if (clock >= cut || cut >= clock + struct.length || Y.isDeleted(ds, struct.id)) continue
    count('slices squashed')
    equal(`${nameOf(struct)}, cut at ${cut}, is whole again`, again.has(nameOf(struct)), true)
  }
}

const nameOf = ({ id, length }) => `(${id.client}, ${id.clock}) of length ${length}`

/** A diff completes a peer that knows part of the document. */
async function peers ({ random, log, states, cutsPairs, slot, count }) {
  const document = slot(0)
  await applyAll(document, log)
  for (const compact of [null, true]) {
    if (compact) await document.compact(true)
    for (const state of random.shuffled(states).slice(0, 4)) {
      // What a writer really held, or some of it.
      const held = random.once(2) ? state : cutAt(state, (_, end) => random(end + 1))
      const server = slot(2)
      await server.copyFrom(document)
      const peer = loaded([held], !random.once(3))
      const known = Y.encodeStateVector(peer.doc)
      peer.receive(await server.diff(known))
      const reader = loaded([await server.encode()], true)
      await settle([peer, reader], server)
      count('peers completed')
      equal('nothing pending', isPending(peer.doc), false)
      equalContents('peer', peer, reader, cutsPairs)
    }
  }
}

/** Clients that are sent only what was new hold what clients hold that load the whole. */
async function relay ({ random, log, states, cutsPairs, slot, count }) {
  const server = slot(0)
  // Where a writer broke pairs in its own copy, its answers contradict the log.
  const sent = [...withRepeats(random, log), ...(cutsPairs ? [] : answers(random, states))]
  const updates = random.once(3) ? sent : disordered(random, sent)
  const compactsOnTheWay = random.once(2)
  const follower = loaded([], true)
  const lagging = loaded([], true)
  const everything = loaded([], true)
  let joiner = null
  const parts = []
  for (const update of updates) {
    const { newPart, resend, error } = await server.apply(update)
    equal('accepted', error, undefined)
    if (newPart) parts.push(newPart)
    if (resend) count('resends')
    for (const part of [newPart, resend]) if (part) for (const client of [follower, joiner]) client?.receive(part)
    everything.receive(update)
    if (compactsOnTheWay && random.once(15)) await server.compact(!random.once(3))
    if (random.once(20)) lagging.receive(await server.diff(Y.encodeStateVector(lagging.doc)))
    if (random.once(40)) joiner = loaded([await server.diff(NOTHING)], true)
  }
  lagging.receive(await server.diff(Y.encodeStateVector(lagging.doc)))
  disjoint(parts)
  equal('new parts make up what came', rangesText(knownRuns(parts)), rangesText(knownRuns(updates)))
  // What became garbage with its parent is known to be deleted from then on.
  if (!compactsOnTheWay) equal('deletes of new parts make up what came', rangesText(deletedRanges(parts)), rangesText(deletedRanges(updates)))
  if (isPending(everything.doc)) count('Yjs stuck on pending, fully relayed')

  const reader = loaded([Y.mergeUpdates(updates)], true)
  const clients = { follower, lagging, ...(joiner && { joiner }) }
  for (const [name, client] of Object.entries(clients)) equal(`${name} has nothing pending`, isPending(client.doc), false)
  await settle([reader, ...Object.values(clients)], server)
  for (const [name, client] of Object.entries(clients)) equalContents(name, client, reader)
  equalContents('stored', loaded([await server.encode()], true), reader)
}

/** Clients go on writing, some from a compacted state, some not. */
async function live ({ random, log, slot }) {
  const server = slot(0)
  await applyAll(server, log)
  const raw = loaded([Y.mergeUpdates(log)], true)
  await server.compact(true)
  const compacted = loaded([await server.encode()], true)
  const writers = [raw, compacted]
  writers.forEach(({ doc }, i) => { doc.clientID = 2 ** 32 - 10 - i })
  await settle(writers, server)
  for (let i = 0; i < 20; i++) {
    const writer = random.of(writers)
    edit(random, writer.doc, { cutsPairs: false })
    if (random.once(3)) await settle(writers, server)
    if (random.once(5)) await server.compact(!random.once(3))
  }
  await settle(writers, server)
  equalContents('both writers', compacted, raw)
  const late = loaded([await server.encode()], true)
  await settle([...writers, late], server)
  equalContents('late joiner', late, raw)
}

/** A Y.Doc that loaded some updates, and what it wrote on its own. */
const loaded = (updates, gc) => {
  const doc = emptyDoc({ gc })
  const written = []
  doc.on('update', (update, origin) => { if (origin !== REMOTE) written.push(update) })
  const receive = update => Y.applyUpdate(doc, update, REMOTE)
  updates.forEach(receive)
  return { doc, written, receive }
}

/**
 * Passes on what clients wrote, through the engine, until all are quiet. Yjs
 * clients write without being asked: they delete formats that have become
 * redundant, as each of them sees it.
 */
const settle = async (clients, server) => {
  for (let round = 0; round < 50; round++) {
    const sent = clients.flatMap(client => client.written.splice(0).map(update => ({ client, update })))
    if (sent.length === 0) return
    for (const { client, update } of sent) {
      const { newPart, resend, error } = await server.apply(update)
      equal('accepted', error, undefined)
      for (const part of [newPart, resend]) {
        if (part) for (const other of clients) if (other !== client) other.receive(part)
      }
    }
  }
  throw new Mismatch('clients do not come to rest')
}

const applyAll = async (document, updates) => {
  for (const { error } of await Promise.all(updates.map(update => document.apply(update)))) {
    equal('accepted', error, undefined)
  }
}

/** What writers answered to some SyncStep1: much of it is known already. */
const answers = (random, states) => random.shuffled(states).slice(0, random(5)).map(state => {
  const known = cutAt(state, (_, end) => random.once(2) ? 0 : random(end + 1))
  return Y.diffUpdate(state, clocksOf(known))
})

/** How far an update reaches, gaps not counted. */
const clocksOf = update => Y.encodeStateVector(new Map([...knownRuns([update])].map(([client, { end }]) => [client, end])))

const withRepeats = (random, log) => log.flatMap(update => random.once(8) ? [update, update] : [update])

/** All at random, or each a little out of place. */
const disordered = (random, log) => random.once(2)
  ? random.shuffled(log)
  : log.map((update, i) => [i + random(10), update]).sort((a, b) => a[0] - b[0]).map(([, update]) => update)

/** No clock is told twice. */
const disjoint = parts => {
  const ranges = parts.flatMap(part => flatRanges(knownRuns([part])))
  const told = ranges.reduce((sum, [, from, to]) => sum + to - from, 0)
  const different = [...mergeRanges(ranges).values()].flat().reduce((sum, [from, to]) => sum + to - from, 0)
  equal('new parts do not overlap', told, different)
}

const equalDocs = (what, { doc: a }, { doc: b }) => {
  equalContents(what, { doc: a }, { doc: b })
  equal(`${what}: pending`, isPending(a), isPending(b))
  equal(`${what}: bytes`, stateOf(a), stateOf(b))
  equal(`${what}: known clocks`, rangesText(knownRuns([everythingOf(a)])), rangesText(knownRuns([everythingOf(b)])))
}

const equalContents = (what, { doc: a }, { doc: b }, ignorePairs = false) => {
  const content = doc => ignorePairs ? contentOf(doc).replace(HALVES_OF_PAIRS, '?') : contentOf(doc)
  equal(`${what}: content`, content(a), content(b))
  equal(`${what}: state vector`, stateVectorOf(a), stateVectorOf(b))
  equal(`${what}: delete set`, deletesOf(a), deletesOf(b))
}

const equal = (what, actual, expected) => {
  if (actual !== expected) throw new Mismatch(`${what}\n${firstDifference(String(actual), String(expected))}`)
}

const firstDifference = (actual, expected) => {
  let at = 0
  while (actual[at] === expected[at] && at < actual.length) at++
  const part = text => text.slice(Math.max(0, at - 60), at + 140)
  return `    got  …${part(actual)}…\n    want …${part(expected)}… (from character ${at})`
}

const hex = bytes => Buffer.from(bytes).toString('hex')
