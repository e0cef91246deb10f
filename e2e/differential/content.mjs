// The content of a Y.Doc as text, so that two can be compared.
import * as Y from 'yjs'

/** The root types that histories write to. */
export const ROOTS = {
  plain: doc => doc.getText('plain'),
  rich: doc => doc.getText('rich'),
  list: doc => doc.getArray('list'),
  map: doc => doc.getMap('map'),
  xml: doc => doc.getXmlFragment('xml')
}

export const root = (doc, name) => ROOTS[name](doc)

/** A document whose root types have their kinds, under an id that none writes with. */
export const emptyDoc = ({ gc = true } = {}) => {
  const doc = new Y.Doc({ gc, guid: 'reader' })
  doc.clientID = 2 ** 32 - 1
  for (const name in ROOTS) root(doc, name)
  return doc
}

/** All that an application can see. */
export const contentOf = doc => JSON.stringify(Object.keys(ROOTS).map(name => typeContent(root(doc, name))))

/**
 * All that Yjs has integrated: also what was deleted, and how it is cut into
 * structs. What is pending is left out: Yjs keeps that as it came.
 */
export const stateOf = doc => {
  const { pendingStructs, pendingDs } = doc.store
  Object.assign(doc.store, { pendingStructs: null, pendingDs: null })
  const bytes = Y.encodeStateAsUpdate(doc)
  Object.assign(doc.store, { pendingStructs, pendingDs })
  return Buffer.from(bytes).toString('hex')
}

/** All that it knows, what is pending too. */
export const everythingOf = doc => Y.encodeStateAsUpdate(doc)

export const stateVectorOf = doc => Buffer.from(Y.encodeStateVector(doc)).toString('hex')

export const deletesOf = doc => rangesText(Y.createDeleteSetFromStructStore(doc.store))

export const rangesText = ({ clients }) => JSON.stringify([...clients]
  .sort((a, b) => b[0] - a[0])
  .map(([client, ranges]) => [client, ranges.map(({ clock, len }) => [clock, len])]))

export const isPending = doc => doc.store.pendingStructs !== null || doc.store.pendingDs !== null

const typeContent = type => {
  const entries = mapContent(type)
  if (type instanceof Y.XmlHook) return ['hook', type.hookName, entries]
  if (type instanceof Y.Map) return ['map', entries]
  if (type instanceof Y.Text) return [type.constructor.name, type.length, type.toDelta().map(valueContent), entries]
  if (type instanceof Y.XmlElement) return ['element', type.nodeName, type.length, type.toArray().map(typeContent), entries]
  if (type instanceof Y.XmlFragment) return ['fragment', type.length, type.toArray().map(typeContent), entries]
  return ['array', type.length, type.toArray().map(valueContent), entries]
}

/** Attributes and map entries: the last value of each key that is not deleted. */
const mapContent = type => Object.fromEntries([...type._map]
  .filter(([, item]) => !item.deleted)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([key, item]) => [key, valueContent(item.content.getContent()[item.length - 1])]))

/** JSON loses what tells these values apart. */
const valueContent = value => {
  if (value === undefined) return { undefined: true }
  if (typeof value === 'bigint') return { bigint: String(value) }
  if (typeof value === 'number' && (Object.is(value, -0) || !Number.isFinite(value))) return { number: Object.is(value, -0) ? '-0' : String(value) }
  if (value instanceof Uint8Array) return { bytes: [...value] }
  if (value instanceof Y.AbstractType) return { type: typeContent(value) }
  if (value instanceof Y.Doc) return { doc: [value.guid, value.gc, value.autoLoad, valueContent(value.meta)] }
  if (Array.isArray(value)) return value.map(valueContent)
  if (value === null || typeof value !== 'object') return value
  return { object: Object.keys(value).sort().map(key => [key, valueContent(value[key])]) }
}
