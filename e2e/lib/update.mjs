// Writes Yjs v1 updates by hand, byte by byte, so that tests can say what no
// client says. The format is that of yjs/src/utils/encoding.js.
import * as encoding from 'lib0/encoding'

/**
 * One update.
 * @param {Array<{client: number, clock?: number, structs: Uint8Array[], count?: number}>} sections
 *   `count` writes another number of structs than there are.
 * @param {Array<[client: number, ranges: Array<[clock: number, len: number]>]>} deletes
 */
export const update = (sections, deletes = []) => bytes(e => {
  encoding.writeVarUint(e, sections.length)
  for (const { client, clock = 0, structs, count = structs.length } of sections) {
    encoding.writeVarUint(e, count)
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
    for (const struct of structs) encoding.writeUint8Array(e, struct)
  }
  encoding.writeUint8Array(e, deleteSet(deletes))
})

export const deleteSet = deletes => bytes(e => {
  encoding.writeVarUint(e, deletes.length)
  for (const [client, ranges] of deletes) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, ranges.length)
    for (const [clock, len] of ranges) {
      encoding.writeVarUint(e, clock)
      encoding.writeVarUint(e, len)
    }
  }
})

export const stateVector = entries => bytes(e => {
  encoding.writeVarUint(e, entries.length)
  for (const [client, clock] of entries) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
  }
})

/** A GC struct. `info` may carry bits that mean nothing for it. */
export const gc = (len, info = 0) => bytes(e => {
  encoding.writeUint8(e, info)
  encoding.writeVarUint(e, len)
})

/** A Skip struct: a hole of `len` clocks. */
export const skip = (len, info = 10) => gc(len, info)

/**
 * An item.
 * @param {object} place
 * @param {[number, number]} [place.origin] client and clock
 * @param {[number, number]} [place.right] client and clock of the right origin
 * @param {string | Uint8Array | [number, number]} [place.parent] a root's name or an id;
 *   written only where neither origin nor right is
 * @param {string | Uint8Array} [place.sub] parentSub
 * @param {boolean} [place.bit6] sets bit 6 although no parentSub follows
 * @param {number} [place.parentInfo] instead of the 0 or 1 that `parent` needs
 * @param {{ref: number, bytes: Uint8Array}} content
 */
export const item = ({ origin, right, parent = 't', sub, bit6 = false, parentInfo }, content) => bytes(e => {
  const bits = (origin ? 0x80 : 0) | (right ? 0x40 : 0) | (sub !== undefined || bit6 ? 0x20 : 0)
  encoding.writeUint8(e, content.ref | bits)
  if (origin) writeId(e, origin)
  if (right) writeId(e, right)
  if (!origin && !right) {
    const named = !Array.isArray(parent)
    encoding.writeVarUint(e, parentInfo ?? (named ? 1 : 0))
    if (named) writeText(e, parent)
    else writeId(e, parent)
    if (sub !== undefined) writeText(e, sub)
  }
  encoding.writeUint8Array(e, content.bytes)
})

const content = (ref, write) => ({ ref, bytes: bytes(write) })

/** What an item holds. Strings may be given as raw bytes, to make invalid UTF-8. */
export const contents = {
  deleted: len => content(1, e => encoding.writeVarUint(e, len)),
  json: (texts, count = texts.length) => content(2, e => {
    encoding.writeVarUint(e, count)
    for (const text of texts) writeText(e, text)
  }),
  binary: buf => content(3, e => encoding.writeVarUint8Array(e, buf)),
  string: text => content(4, e => writeText(e, text)),
  embed: json => content(5, e => writeText(e, json)),
  format: (key, json) => content(6, e => { writeText(e, key); writeText(e, json) }),
  type: (ref, name) => content(7, e => {
    encoding.writeVarUint(e, ref)
    if (name !== undefined) writeText(e, name)
  }),
  any: (values, count = values.length) => content(8, e => {
    encoding.writeVarUint(e, count)
    for (const value of values) encoding.writeUint8Array(e, value)
  }),
  doc: (guid, options) => content(9, e => {
    writeText(e, guid)
    encoding.writeUint8Array(e, options)
  }),
  raw: (ref, buf) => ({ ref, bytes: buf })
}

/** A value in lib0's "any" encoding. */
export const any = value => bytes(e => encoding.writeAny(e, value))

/** `depth` arrays, each in the one before. */
export const nestedArrays = depth => bytes(e => {
  for (let i = 1; i < depth; i++) {
    encoding.writeUint8(e, 117)
    encoding.writeVarUint(e, 1)
  }
  encoding.writeUint8(e, 117)
  encoding.writeVarUint(e, 0)
})

export const hex = buf => Buffer.from(buf).toString('hex')
export const unhex = text => new Uint8Array(Buffer.from(text, 'hex'))
/** Byte arrays and plain lists of bytes, one after another. */
export const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map(part => Buffer.from(part))))

/** The bytes that `write` puts into an encoder. */
export const bytes = write => {
  const e = encoding.createEncoder()
  write(e)
  return encoding.toUint8Array(e)
}

const writeId = (e, [client, clock]) => {
  encoding.writeVarUint(e, client)
  encoding.writeVarUint(e, clock)
}

const writeText = (e, text) =>
  text instanceof Uint8Array ? encoding.writeVarUint8Array(e, text) : encoding.writeVarString(e, text)
