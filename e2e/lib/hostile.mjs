// Inputs that broke other servers: crashes, hangs and blow-ups found in yrs
// 0.28 and in stores that write before they check. Each is a list of updates
// in turn, or of state vectors.
import { concat, contents as c, item, stateVector, unhex, update } from './update.mjs'

/** Small ones. `refused` says which of them break the grammar. */
export const hostileUpdates = () => [
  ['memory unsafety', true, [
    '0203070484070708f09f9880f09f9880440210016129010174016b0267677d33010902a4090c0b68656c6c6f20776f726c640109010a05',
    '0204071424000106016b08f09f9880f09f9880280101610177027d347804010161000002010909000500']],
  // Valid by its grammar, yet it names a right neighbour that stands left of
  // its left one: Yjs throws when it cleans up after applying it.
  ['infinite loop', false, [
    '0105010027010174016b0024000100016b0b68656c6c6f20776f726c64a4010506e282ac75726f87010002c601090107016904747275650101010d04',
    '01030200c401040101036162630401016d0361626384010401610101010905']],
  ['clock past 2^31', true, ['010303ffffffff0f210101780171030003000301020200050a03']],
  ['panic in apply', true, ['0101030004010174016100', '010103ffffffff0f000100']],
  ['undecodable JSON', true, ['010102120201016d000103010b00']],
  ['half applied before an error', false, ['0104090003010161026162250009000171027b7d860900016904747275658109010200']],
  ['gap, then a value', false, ['010165012801016d026b30017e00']],
  ['a count of 2^27 clients', true, ['8080804000']],
  ['a count of 2^27 values', true, ['010101000801016101768080804000']],
  // Lossy where a value is decoded and encoded again: a BigInt, and the options
  // of a subdocument.
  ['a BigInt', false, ['010101000801016101' + '7a0000000000000005' + '00']],
  ['a subdocument with meta', false, ['01010100090101610164' + '7601046d6574617d07' + '00']],
  ['trailing bytes', true, ['010103000401017401610000']],
  ['deep any value', true, [concat([1, 1, 5, 0, 8, 1, 1, 0x61, 1], ...Array(20_000).fill([0x75, 1]), [0x7e, 0])]]
].map(([name, refused, updates]) =>
  ({ name, refused, updates: updates.map(u => typeof u === 'string' ? unhex(u) : u) }))

/**
 * Big ones, which would keep every honest client of the document busy.
 * `fewer` makes them so many times smaller.
 */
export const hostileFloods = (fewer = 1) => [
  { name: 'types nested 10,000 deep, then deleted', updates: [nestedTypes(10_000 / fewer), update([], [[5, [[0, 1]]]])] },
  { name: '20,000 clients with colliding ids', updates: [manyClients(20_000 / fewer)] },
  { name: '5,000 updates that wait for what never comes', updates: waiting(5_000 / fewer) },
  { name: '8,000 inserts at one position', updates: [onePosition(8_000 / fewer)] },
  { name: '100,000 delete ranges in descending order', updates: [descendingDeletes(100_000 / fewer)] },
  // Where each makes a block of its own before all others, this takes half a minute.
  { name: '200,000 sections of one client behind a gap, the last first', updates: [backwards(200_000 / fewer, 1)] },
  { name: '10,000 sections of one client, each behind a gap, the last first', updates: [backwards(10_000 / fewer, 1, 2)] },
  { name: '2,000 updates of one client, the last first', updates: backwardsApart(2_000 / fewer) }
]

/** State vectors that make a reader believe a count, or fill its hash table. */
export const hostileStateVectors = () => [
  { name: 'a count of 2^31', bytes: unhex('8080808008'), refused: true },
  { name: 'a count of 2^29 in a few bytes', bytes: unhex('8080808002'), refused: true },
  { name: '40,000 colliding ids', bytes: stateVector(Array.from({ length: 40_000 }, (_, i) => [i * 2 ** 20, 1])), refused: false }
]

const nestedTypes = depth => update([{
  client: 5,
  structs: Array.from({ length: depth }, (_, i) => item({ parent: i === 0 ? 'a' : [5, i - 1] }, c.type(0)))
}])

const manyClients = count => update(Array.from({ length: count }, (_, i) =>
  ({ client: (count - i) * 2 ** 20, structs: [item({ parent: 'a' }, c.string('x'))] })))

const waiting = count => Array.from({ length: count }, (_, i) =>
  update([{ client: 1_000_000 + i, structs: [item({ origin: [2_000_000 + i, 0] }, c.string('x'))] }]))

const onePosition = count => update(Array.from({ length: count }, (_, i) =>
  ({ client: count - i, structs: [item({ parent: 't' }, c.string('x'))] })))

const descendingDeletes = count => update([], [[7, Array.from({ length: count }, (_, i) => [2 * (count - i), 1])]])

const backwards = (count, first, every = 1) => update(backwardsSections(count, first, every))

const backwardsApart = count => backwardsSections(count, 0, 1).map(section => update([section]))

/** A letter at every so manieth clock of one client, from one on, the last first. */
const backwardsSections = (count, first, every) => Array.from({ length: count }, (_, i) =>
  ({ client: 1, clock: first + every * (count - 1 - i), structs: [item({ origin: [2, 0] }, c.string('x'))] }))
