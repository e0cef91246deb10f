// Random edits of every kind that Yjs knows.
import * as Y from 'yjs'
import { ROOTS, root } from './content.mjs'

const WORDS = ['a', 'be', 'word', '\n', 'longer words, with spaces', 'ß', '漢字', 'é', '😀', 'x😀y', '👩‍👩‍👧‍👦', '🏳️‍🌈.']
const MARKS = [
  { bold: true }, { bold: null }, { italic: true, color: '#f00' }, { color: null, italic: null },
  { link: { href: 'https://example.org' } }, { link: null }
]
const NODES = ['paragraph', 'heading', 'list', 'item']
const KEYS = ['k', 'key', 'ü']
const DEPTH_MAX = 4

/**
 * One edit of a random type of `doc`.
 * @param {{cutsPairs: boolean}} style whether surrogate pairs may be cut
 */
export const edit = (random, doc, style) => {
  const type = someType(random, doc)
  if (type instanceof Y.Map) editMap(random, type)
  else if (type instanceof Y.Text) editText(random, type, style)
  else if (type instanceof Y.Array) editArray(random, type)
  else editXml(random, type)
}

/** Walks down from a random root. */
const someType = (random, doc) => {
  let type = root(doc, random.of(Object.keys(ROOTS)))
  for (let depth = 0; depth < DEPTH_MAX && !random.once(3); depth++) {
    const children = childTypes(type)
    if (children.length === 0) break
    type = random.of(children)
  }
  return type
}

const childTypes = type => {
  const items = [...type._map.values()]
  for (let item = type._start; item !== null; item = item.right) items.push(item)
  return items.filter(item => !item.deleted && item.content instanceof Y.ContentType).map(item => item.content.type)
}

const editMap = (random, map) => {
  const key = random.of(KEYS)
  switch (random(7)) {
    case 0: map.delete(key); break
    case 1: map.set(key, newType(random)); break
    // Entries of one key in a row, all but the last deleted.
    case 2: for (let i = 0; i <= random(4); i++) map.set(key, value(random)); break
    default: map.set(key, value(random))
  }
}

const editText = (random, text, style) => {
  const at = (random.once(3) && cursorIn(text)) || place(random, text, style)
  switch (random(10)) {
    case 0: case 1: case 2: typeOn(random, text, at); break
    case 3: text.insert(at, random.of(WORDS), random.of(MARKS)); break
    case 4: case 5: cut(random, text, style, (from, len) => text.delete(from, len)); break
    case 6: cut(random, text, style, (from, len) => text.format(from, len, random.of(MARKS))); break
    case 7: text.insertEmbed(at, random.once(3) ? new Y.Map([['e', 1]]) : { image: random(100) }, random.once(2) ? random.of(MARKS) : {}); break
    case 8: text.applyDelta([{ retain: at }, { insert: random.of(WORDS), attributes: random.of(MARKS) }]); break
    default: random.once(3) ? text.removeAttribute('attr') : text.setAttribute('attr', random(9))
  }
}

/** Types some words, one after another, as a person does. */
const typeOn = (random, text, at) => {
  for (let i = 0; i <= random(4); i++) {
    const word = random.of(WORDS)
    text.insert(at, word)
    at += word.length
  }
  CURSORS.set(text, Y.createRelativePositionFromTypeIndex(text, at, -1))
}

/** Where somebody typed last, to go on there after others have written too. */
const cursorIn = text => {
  const cursor = CURSORS.get(text)
  return cursor && Y.createAbsolutePositionFromRelativePosition(cursor, text.doc)?.index
}

const CURSORS = new WeakMap()

const cut = (random, text, style, change) => {
  const ends = [place(random, text, style), place(random, text, style)].sort((a, b) => a - b)
  const to = Math.min(ends[1], align(text, ends[0] + 12, style))
  if (to > ends[0]) change(ends[0], to - ends[0])
}

const place = (random, text, style) => align(text, random(text.length + 1), style)

const align = (text, at, { cutsPairs }) => {
  at = Math.min(at, text.length)
  if (cutsPairs || at === 0) return at
  const code = unitBefore(text, at)
  return code >= 0xd800 && code <= 0xdbff ? at + 1 : at
}

/** The UTF-16 unit before a position, where it is text. */
const unitBefore = (text, at) => {
  for (let item = text._start; item !== null; item = item.right) {
    if (item.deleted || !item.countable) continue
    if (at <= item.length) return item.content instanceof Y.ContentString ? item.content.str.charCodeAt(at - 1) : 0
    at -= item.length
  }
  return 0
}

const editArray = (random, list) => {
  const at = random(list.length + 1)
  switch (random(6)) {
    case 0: list.insert(at, [newType(random)]); break
    case 1: if (at < list.length) list.delete(at, Math.min(1 + random(4), list.length - at)); break
    case 2: for (let i = 0; i <= random(4); i++) list.push([listValue(random)]); break
    case 3: list.insert(at, [new Uint8Array([random(256)])]); break
    default: list.insert(at, Array.from({ length: 1 + random(4) }, () => listValue(random)))
  }
}

const editXml = (random, xml) => {
  const at = random(xml.length + 1)
  const isElement = xml instanceof Y.XmlElement
  switch (random(6)) {
    case 0: if (at < xml.length) xml.delete(at, Math.min(1 + random(2), xml.length - at)); break
    case 1: if (isElement) { xml.setAttribute(random.of(KEYS), String(random(9))); break } // falls through
    case 2: if (isElement) { xml.removeAttribute(random.of(KEYS)); break } // falls through
    default: xml.insert(at, Array.from({ length: 1 + random(2) }, () => newNode(random)))
  }
}

const newNode = (random, depth = 0) => {
  if (random.once(12)) return new Y.XmlHook('hook')
  if (random.once(3)) return new Y.XmlText(random.of(WORDS))
  const node = new Y.XmlElement(random.of(NODES))
  if (random.once(2)) node.setAttribute('level', String(random(4)))
  if (depth < 3) node.insert(0, Array.from({ length: random(3) }, () => newNode(random, depth + 1)))
  return node
}

const newType = (random, depth = 0) => {
  switch (random(7)) {
    case 0: return new Y.Text(random.of(WORDS))
    case 1: return Y.Array.from([random(9), random.of(WORDS), { n: null }])
    case 2: return newNode(random, 1)
    case 3: return new Y.Doc({ guid: `sub-${random(2 ** 31)}`, gc: !random.once(3), autoLoad: random.once(3), meta: random.once(2) ? { big: 2n ** 40n, at: random(9) } : null })
    case 4: return new Y.XmlText(random.of(WORDS))
    case 5: return new Y.Array()
    default: {
      const map = new Y.Map([['one', random(9)]])
      if (depth < 2) map.set('deep', newType(random, depth + 1))
      return map
    }
  }
}

/** Yjs takes neither undefined nor BigInt as an element of a list, only inside of one. */
const listValue = random => {
  const drawn = value(random)
  return drawn === undefined || typeof drawn === 'bigint' ? [drawn] : drawn
}

const value = random => {
  switch (random(16)) {
    case 0: return undefined
    case 1: return null
    case 2: return -random(1000)
    case 3: return random(2 ** 31) * 2 ** 20
    case 4: return random(1000) / 8
    case 5: return random(1000) / 7
    case 6: return random.of([-0, NaN, Infinity, -Infinity])
    case 7: return BigInt(random(2 ** 31)) * 2n ** 31n
    case 8: return random.once(2)
    case 9: return random.of(WORDS)
    case 10: return { a: random(9), nested: { list: [1n, new Uint8Array([1, 2]), undefined] } }
    case 11: return [1, [random(9), ['x']], {}]
    case 12: return {}
    case 13: return ''
    default: return random(100)
  }
}
