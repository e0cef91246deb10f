// Whether one document holds all of another.
import * as Y from 'yjs'

/** A document of stored bytes. */
export const load = bytes => {
  const doc = new Y.Doc()
  if (bytes) Y.applyUpdate(doc, bytes)
  return doc
}

/**
 * What `doc` lacks of `other`, in words; null if it holds all of it, deletes
 * included.
 */
export const lacks = (doc, other) => {
  const copy = load(Y.encodeStateAsUpdate(doc))
  if (!isWhole(copy)) return `it has gaps: ${clocks(copy)}`
  const before = clocks(copy)
  let changed = false
  // Not emitted for what is known already.
  copy.on('update', () => { changed = true })
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(other))
  if (!changed && isWhole(copy)) return null
  return `it is at ${before}, and should be at ${clocks(copy)}`
}

const isWhole = ({ store }) => store.pendingStructs === null && store.pendingDs === null

const clocks = doc => JSON.stringify([...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b))
