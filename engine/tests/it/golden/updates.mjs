// Updates that must be accepted, and what a server must make of them.
import { Y, encoding } from '../../../../e2e/lib/yjs.mjs'
import {
  any, bytes, contents as c, gc, hex, item, nestedArrays, skip, stateVector, unhex, update
} from '../../../../e2e/lib/update.mjs'

export const goldenUpdates = () => [
  ...fromClients(), ...everyContent(), ...everyType(), ...everyAny(), ...strings(),
  ...json(), ...places(), ...gaps(), ...oddButValid(), ...deleteSets(), ...limits()
].map(describe)

/** Adds to a case what Yjs, and therefore a server, must make of it. */
const describe = ({ name, what, updates, merged = true, diffs = [] }) => {
  const doc = new Y.Doc()
  for (const u of updates) Y.applyUpdate(doc, u)
  const pending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  const runs = knownRuns(updates)
  return {
    name,
    what,
    updates: updates.map(hex),
    canonical: updates.length === 1 && !hasJoints(updates[0]) && hex(updates[0]) === hex(kept(updates[0])),
    state_vector: hex(stateVector(firstRuns(runs))),
    delete_set: deletedRanges(updates),
    merged: merged ? hex(Y.mergeUpdates([...updates, update([])])) : null,
    yjs: { update: hex(Y.encodeStateAsUpdate(doc)), pending },
    ...(diffs.length === 0 ? {} : { diffs: diffs.map(sv => diff(doc, sv)) })
  }
}

/** Whether two structs could be told as one. */
const hasJoints = u => Y.decodeUpdate(u).structs.some((b, i, structs) => {
  const a = structs[i - 1]
  if (a?.id.client !== b.id.client || a.constructor !== b.constructor) return false
  if (b instanceof Y.GC) return true
  return a.content?.constructor === b.content?.constructor &&
    [Y.ContentString, Y.ContentAny, Y.ContentJSON, Y.ContentDeleted].includes(b.content?.constructor) &&
    Y.compareIDs(b.origin, Y.createID(a.id.client, a.id.clock + a.length - 1)) &&
    Y.compareIDs(a.rightOrigin, b.rightOrigin)
})

/** The update as Yjs would write it that merges what it can and drops nothing. */
const kept = u => {
  const doc = new Y.Doc({ gc: false })
  Y.applyUpdate(doc, u)
  return Y.encodeStateAsUpdate(doc)
}

const diff = (doc, sv) => ({
  state_vector: hex(stateVector(sv)),
  update: hex(Y.encodeStateAsUpdate(doc, stateVector(sv)))
})

/** Client to sorted, merged ranges `[from, to)`. */
const merge = ranges => {
  const out = new Map()
  for (const [client, from, to] of [...ranges].sort((a, b) => b[0] - a[0] || a[1] - b[1])) {
    const list = out.get(client) ?? out.set(client, []).get(client)
    const last = list.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else list.push([from, to])
  }
  return out
}

const structsOf = updates => updates.flatMap(u => Y.decodeUpdate(u).structs)

const knownRuns = updates => merge(structsOf(updates)
  .filter(s => !(s instanceof Y.Skip))
  .map(s => [s.id.client, s.id.clock, s.id.clock + s.length]))

const firstRuns = runs => [...runs]
  .filter(([, [first]]) => first[0] === 0)
  .map(([client, [first]]) => [client, first[1]])

/** What the delete sets name, and what GC and ContentDeleted structs say. */
const deletedRanges = updates => {
  const named = updates.flatMap(u => [...Y.decodeUpdate(u).ds.clients]
    .flatMap(([client, ranges]) => ranges.map(r => [client, r.clock, r.clock + r.len])))
  const said = structsOf(updates)
    .filter(s => s instanceof Y.GC || s.content instanceof Y.ContentDeleted)
    .map(s => [s.id.client, s.id.clock, s.id.clock + s.length])
  return [...merge([...named, ...said])]
    .map(([client, ranges]) => [client, ranges.map(([from, to]) => [from, to - from])])
}

const one = (name, what, structs, deletes = [], diffs = []) =>
  ({ name, what, updates: [update([{ client: 1, structs }], deletes)], diffs })

const doc = (clientID, options = {}) => Object.assign(new Y.Doc({ guid: 'root', ...options }), { clientID })

/** What real editing makes. */
const fromClients = () => {
  const empty = doc(1)
  const text = doc(1)
  text.getText('t').insert(0, 'hello')
  text.getText('t').insert(5, ' world')
  text.getText('t').delete(2, 4)
  const rich = doc(1)
  rich.getText('t').insert(0, 'bold and plain', { bold: true })
  rich.getText('t').format(4, 10, { bold: null })
  rich.getText('t').insertEmbed(0, { image: 'a.png' })
  const log = twoWriters()
  const map = doc(1)
  map.transact(() => { for (const v of [1, 2, 'three']) map.getMap('m').set('k', v) })
  const nested = doc(1)
  const outer = new Y.Map()
  nested.getArray('a').push([outer])
  outer.set('inner', new Y.Array())
  outer.get('inner').push([1, 2, 3])
  nested.getArray('a').delete(0)
  return [
    { name: 'empty update', what: 'nothing at all', updates: [Y.encodeStateAsUpdate(empty)] },
    { name: 'plain text', what: 'inserts and a delete', updates: [Y.encodeStateAsUpdate(text)], diffs: [[], [[1, 1]], [[1, 8]], [[1, 11]], [[1, 99]], [[2, 5]]] },
    { name: 'rich text', what: 'format marks and an embed', updates: [Y.encodeStateAsUpdate(rich)] },
    { name: 'two writers', what: 'a concurrent log, update by update', updates: log },
    { name: 'two writers, in reverse', what: 'the same log: everything arrives too early', updates: log.toReversed() },
    { name: 'map key set three times', what: 'the older two entries are deleted', updates: [Y.encodeStateAsUpdate(map)] },
    { name: 'nested types deleted', what: 'children of a deleted type are GC', updates: [Y.encodeStateAsUpdate(nested)] }
  ]
}

const twoWriters = () => {
  const log = []
  const docs = [doc(1), doc(2 ** 32 - 1)]
  for (const d of docs) d.on('update', (u, origin) => { if (origin !== 'peer') log.push(u) })
  const [a, b] = docs.map(d => d.getText('t'))
  a.insert(0, 'abc')
  b.insert(0, 'xyz')
  for (const u of [...log]) docs.forEach(d => Y.applyUpdate(d, u, 'peer'))
  a.insert(3, '123')
  b.delete(1, 2)
  b.insert(1, '😀')
  return log
}

/** Each content kind once, written by hand. */
const everyContent = () => [
  one('GC', 'ref 0', [gc(3)]),
  one('deleted', 'ref 1, ContentDeleted', [item({}, c.deleted(7))], [], [[[1, 3]]]),
  one('JSON', 'ref 2, ContentJSON of old clients', [item({ parent: 'a' }, c.json(['1', '"x"', 'null', '{"a":[1]}', 'undefined', 'true']))], [], [[[1, 4]]]),
  one('binary', 'ref 3', [item({ parent: 'a' }, c.binary(new Uint8Array([0, 1, 254, 255])))]),
  one('binary, empty', 'ref 3, no bytes, still of length 1', [item({ parent: 'a' }, c.binary(new Uint8Array()))]),
  one('string', 'ref 4', [item({}, c.string('hello'))], [], [[[1, 2]]]),
  one('embed', 'ref 5, JSON', [item({}, c.embed('{"image":"a.png"}'))]),
  one('embed null', 'ref 5, JSON null', [item({}, c.embed('null'))]),
  one('format', 'ref 6, key and JSON', [item({}, c.format('bold', 'true'))]),
  one('format off', 'ref 6, JSON null', [item({}, c.format('bold', 'null'))]),
  one('any', 'ref 8', [item({ parent: 'a' }, c.any([1, 'two', null].map(any)))], [], [[[1, 1]]]),
  one('doc', 'ref 9, no options', [item({ parent: 'm', sub: 'k' }, c.doc('guid-1', any({})))]),
  one('doc with options', 'ref 9, options with a BigInt, which must be kept', [item({ parent: 'm', sub: 'k' }, c.doc('guid-2', any({ gc: false, autoLoad: true, meta: { a: 1n } })))])
]

const everyType = () => [
  ['YArray', 0], ['YMap', 1], ['YText', 2], ['YXmlElement', 3, 'paragraph'],
  ['YXmlFragment', 4], ['YXmlHook', 5, 'hook-name'], ['YXmlText', 6]
].map(([name, ref, nodeName]) => one(name, `ref 7, type ref ${ref}`, [
  item({ parent: 'x' }, c.type(ref, nodeName)),
  item({ parent: [1, 0] }, c.any([any('child')]))
]))

const everyAny = () => [
  ['undefined', undefined], ['null', null], ['integer', 42], ['negative integer', -42],
  ['largest integer', 2 ** 31 - 1], ['integer past 31 bits, as float32', 2 ** 31],
  ['integer past 31 bits, as float64', 2 ** 40 + 1], ['float32', 0.5], ['float64', 0.1],
  ['negative zero', -0], ['NaN', NaN], ['Infinity', Infinity], ['-Infinity', -Infinity],
  ['BigInt', 2n ** 40n], ['negative BigInt', -1n], ['true', true], ['false', false],
  ['string', 'ü😀'], ['empty string', ''], ['object', { a: 1, ü: [null] }], ['empty object', {}],
  ['array', [1, 'x', [true]]], ['empty array', []], ['bytes', new Uint8Array([0, 255])],
  ['nested', { a: [{ b: new Uint8Array([1]), c: 1n, d: undefined }] }]
].map(([name, value]) => one(`any ${name}`, 'one value', [item({ parent: 'a' }, c.any([any(value)]))]))

const strings = () => [
  one('string, two bytes', 'é is one clock', [item({}, c.string('éé'))], [], [[[1, 1]]]),
  one('string, three bytes', '€ is one clock', [item({}, c.string('€漢'))], [], [[[1, 1]]]),
  one('string, astral', '😀 is two clocks', [item({}, c.string('a😀b'))], [], [[[1, 1]], [[1, 3]]]),
  one('string, cut inside a pair', 'a peer that knows half of 😀 gets U+FFFD for the rest', [item({}, c.string('a😀b'))], [], [[[1, 2]]]),
  one('string, only a pair, cut', 'the rest is U+FFFD alone', [item({}, c.string('😀'))], [], [[[1, 1]]]),
  one('string, NUL', 'U+0000 is a character like any other', [item({}, c.string('a\0b'))]),
  one('string, BOM', 'U+FEFF is kept', [item({}, c.string('\ufeffa'))]),
  one('string, noncharacters', 'U+FFFF and U+10FFFF are valid', [item({}, c.string('\uffff\u{10ffff}'))])
]

/** Texts that JSON.parse takes, and that a strict reader may stumble on. */
const json = () => [
  ['a lone surrogate escape', '"\\ud800"'], ['a number past every float', '1e999'],
  ['a long number', '9'.repeat(400)], ['white space around', ' \t\r\n1\n'],
  ['the same key twice', '{"a":1,"a":2}'], ['the empty key', '{"":0}'], ['-0', '-0'],
  ['nested 64 deep', '['.repeat(64) + ']'.repeat(64)]
].map(([name, text]) => one(`JSON: ${name}`, 'valid JSON', [
  item({}, c.embed(text)), item({ origin: [1, 0] }, c.json([text]))
]))

/** Origins, parents, parentSub and bit 6 in all their combinations. */
const places = () => {
  const base = item({}, c.string('abc'))
  const value = c.any([any(1)])
  return [
    one('origin', 'left neighbour', [base, item({ origin: [1, 2] }, c.string('d'))]),
    one('right origin', 'right neighbour', [base, item({ right: [1, 0] }, c.string('d'))]),
    one('origin and right origin', 'between', [base, item({ origin: [1, 0], right: [1, 1] }, c.string('d'))]),
    one('parent by id', 'a child of a type', [item({ parent: 'm', sub: 'k' }, c.type(1)), item({ parent: [1, 0], sub: 'k' }, value)]),
    one('parentSub', 'a map entry', [item({ parent: 'm', sub: 'key' }, value)]),
    one('parentSub, empty', 'the key is the empty string', [item({ parent: 'm', sub: '' }, value)]),
    one('root, empty name', 'the root type is named by the empty string', [item({ parent: '' }, value)]),
    one('bit 6 with origin', 'says that a parentSub exists; no string follows', [
      item({ parent: 'm', sub: 'k' }, value), item({ origin: [1, 0], bit6: true }, value)]),
    one('bit 6 with right origin', 'the same', [
      item({ parent: 'm', sub: 'k' }, value), item({ right: [1, 0], bit6: true }, value)]),
    one('live map entries in a row', 'both values, neither deleted by the delete set: must not be squashed', [
      item({ parent: 'm', sub: 'k' }, c.any([any('first')])),
      item({ origin: [1, 0], bit6: true }, c.any([any('second')]))]),
    one('split text', 'three structs that squash into one', [
      item({}, c.string('ab')), item({ origin: [1, 1] }, c.string('cd')), item({ origin: [1, 3] }, c.string('ef'))]),
    one('children of a deleted type', 'may be compacted to GC', [
      item({ parent: 'a' }, c.type(2)), item({ parent: [1, 0] }, c.string('gone')), item({ origin: [1, 4] }, c.string('too'))], [[1, [[0, 1]]]]),
    one('children of a GC', 'the parent is gone for good', [gc(1), item({ parent: [1, 0] }, c.string('gone'))])
  ]
}

const gaps = () => {
  const a = item({}, c.string('abc'))
  const z = item({ origin: [1, 6] }, c.string('xyz'))
  const middle = item({ origin: [1, 2] }, c.string('1234'))
  return [
    one('Skip in the middle', 'clocks 3 to 6 are missing', [a, skip(4), z]),
    { name: 'Skip, then filled', what: 'the gap closes', updates: [update([{ client: 1, structs: [a, skip(4), z] }]), update([{ client: 1, clock: 3, structs: [middle] }])] },
    { name: 'starts past zero', what: 'nothing before clock 7 is known', updates: [update([{ client: 1, clock: 7, structs: [z] }])] },
    { name: 'starts past zero, then filled in part', what: 'the new part overlaps on both sides', updates: [
      update([{ client: 1, clock: 7, structs: [z] }]),
      update([{ client: 1, structs: [item({}, c.string('abcdefgx'))] }])] },
    { name: 'several clients with gaps', what: 'two runs each', updates: [update([
      { client: 9, structs: [a, skip(1), gc(2), skip(5), gc(1)] },
      { client: 4, clock: 2, structs: [gc(1), skip(1), gc(1)] },
      { client: 1, structs: [gc(2)] }])] },
    { name: 'unknown origin', what: 'its own clocks are whole, but client 2 never came', updates: [update([{ client: 1, structs: [item({ origin: [2, 5] }, c.string('abc'))] }])] },
    { name: 'unknown origin, then it comes', what: 'the waiting struct integrates', updates: [
      update([{ client: 1, structs: [item({ origin: [2, 5] }, c.string('abc'))] }]),
      update([{ client: 2, structs: [item({}, c.string('123456'))] }])] },
    { name: 'unknown parent', what: 'the type that holds it never came', updates: [update([{ client: 1, structs: [item({ parent: [2, 0] }, c.string('abc'))] }])] }
  ]
}

/** What no client writes, yet Yjs reads. */
const oddButValid = () => {
  const a = item({}, c.string('ab'))
  const later = item({ origin: [1, 1] }, c.string('cd'))
  return [
    { name: 'a section without structs', what: 'says nothing', updates: [update([{ client: 5, structs: [] }, { client: 1, structs: [a] }])] },
    { name: 'sections in ascending order', what: 'read alike; must be written in descending order', updates: [update([{ client: 1, structs: [a] }, { client: 2, structs: [gc(1)] }])], merged: false },
    { name: 'one client in two sections', what: 'Yjs forgets the first of them: both must be kept, and written as one', updates: [update([{ client: 1, structs: [a] }, { client: 1, clock: 2, structs: [later] }])], merged: false },
    { name: 'one client in two sections with a gap', what: 'the same, two runs', updates: [update([{ client: 1, structs: [a] }, { client: 1, clock: 9, structs: [gc(2)] }])], merged: false },
    { name: 'one client in two sections, the later first', what: 'the same, out of order', updates: [update([{ client: 1, clock: 2, structs: [later] }, { client: 1, structs: [a] }])], merged: false },
    one('Skip first', 'the section says clock 0, the first struct is at 3', [skip(3), gc(2)]),
    one('Skip last', 'says nothing', [a, skip(3)]),
    one('two Skips in a row', 'one gap', [a, skip(1), skip(2), gc(1)]),
    one('only a Skip', 'says nothing', [skip(3)]),
    one('GC with other bits set', 'only the low five bits of the info byte count; the others bring no origin', [gc(3, 0xe0)]),
    { name: 'numbers written too long', what: 'lib0 reads 81 00 as 1', updates: [unhex('018100018000040101740161' + '00')] },
    { name: 'an update twice', what: 'the second time nothing is new', updates: [0, 1].map(() => update([{ client: 1, structs: [a, later] }])) },
    { name: 'an overlap', what: 'the second update starts inside what is known', updates: [
      update([{ client: 1, structs: [a, item({ origin: [1, 1] }, c.string('c'))] }]),
      update([{ client: 1, clock: 2, structs: [item({ origin: [1, 1] }, c.string('cdef'))] }])] }
  ]
}

const deleteSets = () => {
  const a = item({}, c.string('0123456789'))
  const many = Array.from({ length: 200 }, (_, i) => [i * 3, 1])
  return [
    one('delete one range', 'in the middle of a struct', [a], [[1, [[3, 4]]]]),
    one('delete many ranges', '200 ranges in a long text', [item({}, c.string('x'.repeat(600)))], [[1, many]]),
    one('delete all', 'the whole struct', [a], [[1, [[0, 10]]]]),
    one('ranges that overlap and touch', 'one range once merged', [a], [[1, [[5, 2], [1, 3], [3, 2], [2, 1]]]]),
    one('the same client twice', 'in one delete set', [a], [[1, [[1, 1]]], [1, [[5, 1]]]]),
    one('a client without ranges', 'says nothing', [a], [[7, []], [1, [[1, 1]]]]),
    { name: 'deletes of several clients', what: 'in any order', updates: [update([
      { client: 3, structs: [a] }, { client: 2, structs: [a] }, { client: 1, structs: [a] }],
    [[1, [[0, 1]]], [3, [[2, 2]]], [2, [[9, 1]]]])] },
    { name: 'deletes what is not known', what: 'kept until it comes', updates: [update([], [[8, [[4, 3]]]])] },
    { name: 'deletes what then comes', what: 'the delete is older than the text', updates: [update([], [[1, [[4, 3]]]]), update([{ client: 1, structs: [a] }])] },
    { name: 'deletes past the end', what: 'the part past the end waits', updates: [update([{ client: 1, structs: [a] }], [[1, [[8, 5]]]])] },
    { name: 'delete that says half a pair', what: 'the cut falls inside 😀', updates: [update([{ client: 1, structs: [item({}, c.string('a😀b'))] }], [[1, [[0, 2]]]])] }
  ]
}

const limits = () => [
  one('any nested 64 deep', 'the deepest that is taken', [item({ parent: 'a' }, c.any([nestedArrays(64)]))]),
  one('clocks to the last', 'clock + len = 2^31 - 1', [gc(2 ** 31 - 1)]),
  { name: 'largest client id', what: '2^53 - 1', updates: [update([{ client: 2 ** 53 - 1, structs: [gc(1)] }], [[2 ** 53 - 1, [[0, 1]]]])] },
  one('any integer -0', 'the byte 40; clients write -0 as a float', [item({ parent: 'a' }, c.any([unhex('7d40')]))]),
  one('largest any integer', '2^53 - 1, which clients write as a float', [item({ parent: 'a' }, c.any([bytes(e => {
    encoding.writeUint8(e, 125)
    encoding.writeVarInt(e, 2 ** 53 - 1)
  })]))])
]
