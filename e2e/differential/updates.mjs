// Updates taken apart, independently of the engine.
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

/**
 * Which clocks some updates tell of: client to sorted ranges.
 * `end` is where the last of a client's ranges ends.
 */
export const knownRuns = updates => mergeRanges(updates.flatMap(update => Y.decodeUpdate(update).structs)
  .filter(struct => !(struct instanceof Y.Skip))
  .map(({ id, length }) => [id.client, id.clock, id.clock + length]))

/** What the delete set of an update names. */
export const namedDeletes = update => mergeRanges([...Y.decodeUpdate(update).ds.clients]
  .flatMap(([client, ranges]) => ranges.map(({ clock, len }) => [client, clock, clock + len])))

/** What updates say is deleted: by delete sets, GC and ContentDeleted. */
export const deletedRanges = updates => mergeRanges(updates.flatMap(update => {
  const said = Y.decodeUpdate(update).structs
    .filter(struct => struct instanceof Y.GC || struct.content instanceof Y.ContentDeleted)
    .map(({ id, length }) => [id.client, id.clock, id.clock + length])
  return [...said, ...flatRanges(namedDeletes(update))]
}))

/** State vector of what they tell of: the first run from clock 0 of each client. */
export const stateVectorOfRuns = runs => Buffer.from(Y.encodeStateVector(new Map([...runs]
  .filter(([, ranges]) => ranges[0][0] === 0)
  .map(([client, ranges]) => [client, ranges[0][1]])))).toString('hex')

export const rangesText = ranges => JSON.stringify([...ranges])

/** `[client, from, to]` in any order to client to `[from, to]`, merged. */
export const mergeRanges = ranges => {
  const merged = new Map()
  for (const [client, from, to] of ranges.sort((a, b) => b[0] - a[0] || a[1] - b[1])) {
    if (!merged.has(client)) merged.set(client, Object.assign([], { end: 0 }))
    const own = merged.get(client)
    if (own.length > 0 && from <= own.end) own.at(-1)[1] = Math.max(own.end, to)
    else own.push([from, to])
    own.end = own.at(-1)[1]
  }
  return merged
}

export const flatRanges = ranges =>
  [...ranges].flatMap(([client, own]) => own.map(([from, to]) => [client, from, to]))

/** The update as Yjs writes it, so that two that mean the same are equal. */
export const normalized = update => Buffer.from(Y.mergeUpdates([update, new Uint8Array(2)])).toString('hex')

/**
 * Rewrites values as old clients wrote them: JSON texts. Values that JSON
 * cannot say stay as they are.
 */
export const withJson = update => {
  const { structs, ds } = Y.decodeUpdate(update)
  for (const struct of structs) {
    if (struct.content instanceof Y.ContentAny && struct.content.arr.every(isJson)) {
      struct.content = new Y.ContentJSON(struct.content.arr)
    }
  }
  return encodeUpdate(structs, ds)
}

const isJson = value => value === undefined || roundTrips(value)

const roundTrips = value => {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (value === null || ['string', 'boolean'].includes(typeof value)) return true
  if (typeof value !== 'object' || value instanceof Uint8Array) return false
  return Object.values(value).every(roundTrips)
}

/**
 * The update without what lies past some clocks: structs that reach over one
 * are cut, though never inside a surrogate pair.
 * @param {(client: number, end: number) => number} clockOf
 */
export const cutAt = (update, clockOf) => {
  const { structs, ds } = Y.decodeUpdate(update)
  const ends = new Map()
  for (const [client, { end }] of knownRuns([update])) ends.set(client, clockOf(client, end))
  const kept = structs.filter(({ id }) => id.clock < ends.get(id.client))
  for (const struct of kept) shorten(struct, ends.get(struct.id.client) - struct.id.clock)
  return encodeUpdate(kept, ds)
}

const shorten = (struct, length) => {
  if (length >= struct.length) return
  if (struct instanceof Y.Item) {
    const { content } = struct
    if (content instanceof Y.ContentString && isHighSurrogate(content.str.charCodeAt(length - 1))) length++
    if (length < struct.length) content.splice(length)
  }
  struct.length = length
}

const isHighSurrogate = code => code >= 0xd800 && code <= 0xdbff

/**
 * The structs of an update, and its deletes, as two updates. Where the deletes
 * get lost, older entries of a map look as live as the last one.
 *
 * What is deleted as a whole and has several units keeps its deletes. A client
 * without gc joins the old values of a key once they are deleted; without the
 * deletes they are an entry that no client writes, and the engine takes it for one.
 */
export const splitDeletes = update => {
  const { structs, ds } = Y.decodeUpdate(update)
  const joined = structs.filter(struct => struct instanceof Y.Item && struct.length > 1 && coversAll(ds, struct))
  const kept = new Map()
  for (const { id: { client, clock }, length } of joined) {
    kept.set(client, [...kept.get(client) ?? [], { clock, len: length }])
  }
  return [encodeUpdate(structs, { clients: kept }), encodeUpdate([], ds)]
}

const coversAll = (ds, { id: { client, clock }, length }) =>
  ds.clients.get(client)?.some(range => range.clock <= clock && clock + length <= range.clock + range.len) ?? false

const encodeUpdate = (structs, deletes) => {
  const encoder = new Y.UpdateEncoderV1()
  const sections = groupByClient(structs)
  writeNumbers(encoder, sections.size)
  for (const [client, own] of [...sections].sort((a, b) => b[0] - a[0])) {
    writeNumbers(encoder, own.length, client, own[0].id.clock)
    for (const struct of own) struct.write(encoder, 0)
  }
  writeNumbers(encoder, deletes.clients.size)
  for (const [client, ranges] of [...deletes.clients].sort((a, b) => b[0] - a[0])) {
    writeNumbers(encoder, client, ranges.length)
    for (const { clock, len } of ranges) writeNumbers(encoder, clock, len)
  }
  return encoder.toUint8Array()
}

const groupByClient = structs => {
  const sections = new Map()
  for (const struct of structs) {
    const { client } = struct.id
    sections.set(client, [...(sections.get(client) ?? []), struct])
  }
  return sections
}

const writeNumbers = ({ restEncoder }, ...numbers) => {
  for (const number of numbers) encoding.writeVarUint(restEncoder, number)
}
