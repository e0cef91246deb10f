// How large documents become: raw, as Yjs writes them, and in the engine.
//
//     node differential/sizes.mjs
//
// Plays the recorded editing sessions, and a made-up one of three people who
// edit XML and often delete paragraphs, and ends with 1 where the engine's
// compacted state is larger than it has to be. The logs of updates are kept in
// the cache folder, as playing takes longer than all the rest.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as Y from 'yjs'
import { loadTrace, play, tracesAreHere } from '../lib/traces.mjs'
import { Engine } from './engine.mjs'
import { randomOf } from '../lib/random.mjs'

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ysyncd-test')

/** Sizes that were reached before, in bytes; compacted, null is that of Yjs. */
const BOUNDS = {
  'automerge-paper': { squashed: 266_391, compacted: 258_928 },
  sveltecomponent: { squashed: 139_523, compacted: 68_836 },
  'xml, 3 writers': { squashed: Infinity, compacted: null }
}

const main = async () => {
  if (!tracesAreHere()) {
    console.log('skipped: no traces')
    return
  }
  const rows = {}
  for (const name of Object.keys(BOUNDS)) {
    const row = await measure(cachedLog(name))
    const bound = BOUNDS[name].compacted ?? row.Yjs
    const small = row.compacted <= bound && row.squashed <= BOUNDS[name].squashed
    rows[name] = { ...row, bound, ok: small && row.equal }
  }
  console.table(rows)
  process.exitCode = Object.values(rows).every(({ ok }) => ok) ? 0 : 1
}

const measure = async log => {
  const engine = new Engine()
  const document = engine.document(0)
  const start = performance.now()
  await Promise.all(log.map(update => document.apply(update)))
  const seconds = (performance.now() - start) / 1000
  const inMemory = await document.structBytes()
  const squashed = engine.document(1)
  await squashed.copyFrom(document)
  await squashed.compact(false)
  await document.compact(true)
  const compacted = await document.encode()
  const row = {
    updates: log.length,
    raw: log.reduce((sum, update) => sum + update.length, 0),
    Yjs: 0,
    'in memory': inMemory,
    squashed: (await squashed.encode()).length,
    compacted: compacted.length,
    'updates/s': Math.round(log.length / seconds)
  }
  engine.stop()
  const doc = new Y.Doc()
  doc.transact(() => { for (const update of log) Y.applyUpdate(doc, update) })
  row.Yjs = Y.encodeStateAsUpdate(doc).length
  row.equal = sameDocument(loaded(compacted), loaded(merged(log))) &&
    contentOf(doc) === contentOf(loaded(compacted))
  return row
}

/** In steps: Y.mergeUpdates takes time in the square of what it is given. */
const merged = log => {
  if (log.length <= 64) return Y.mergeUpdates(log)
  const half = log.length >> 1
  return Y.mergeUpdates([merged(log.slice(0, half)), merged(log.slice(half))])
}

const loaded = update => {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, update)
  return doc
}

const sameDocument = (one, other) =>
  contentOf(one) === contentOf(other) &&
  Buffer.compare(Y.encodeStateVector(one), Y.encodeStateVector(other)) === 0 &&
  Y.equalDeleteSets(deletesOf(one), deletesOf(other)) &&
  Buffer.compare(Y.encodeStateAsUpdate(one), Y.encodeStateAsUpdate(other)) === 0

const deletesOf = doc => Y.createDeleteSetFromStructStore(doc.store)

const contentOf = doc => `${doc.getText('text')}${doc.getXmlFragment('xml')}`

const cachedLog = name => {
  const path = join(CACHE, `log-2-${name.replaceAll(/[^a-z-]+/g, '-')}.bin`)
  if (!existsSync(path)) {
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(`${path}.new`, packed(name.startsWith('xml') ? xmlLog() : traceLog(name)))
    renameSync(`${path}.new`, path)
  }
  return unpacked(readFileSync(path))
}

/** The id has four bytes, as in the sizes that are to be reached. */
const traceLog = name => {
  const doc = newDoc(200_000_000)
  const log = logOf(doc)
  for (const _ of play(loadTrace(name), doc)) { /* each step is logged */ }
  return log
}

/** Three writers in step: paragraphs come, are typed into, and are deleted. */
const xmlLog = () => {
  const random = randomOf(1)
  const docs = [100_000_000, 150_000_000, 200_000_000].map(newDoc)
  const log = []
  for (const doc of docs) {
    doc.on('update', (update, origin) => {
      if (origin === 'peer') return
      log.push(update)
      for (const other of docs) if (other !== doc) Y.applyUpdate(other, update, 'peer')
    })
  }
  for (let step = 0; step < 45_000; step++) editXml(random, random.of(docs).getXmlFragment('xml'))
  return log
}

const editXml = (random, xml) => {
  if (xml.length < 3 || random.once(40)) {
    const paragraph = new Y.XmlElement('paragraph')
    paragraph.insert(0, [new Y.XmlText()])
    paragraph.setAttribute('id', String(random(1000)))
    xml.insert(random(xml.length + 1), [paragraph])
  } else if (xml.length > 12 || random.once(60)) {
    xml.delete(random(xml.length), 1)
  } else {
    const text = xml.get(random(xml.length)).get(0)
    const at = random(text.length + 1)
    if (random.once(5) && at < text.length) text.delete(at, 1)
    else text.insert(at, String.fromCharCode(97 + random(26)))
  }
}

const newDoc = clientID => Object.assign(new Y.Doc(), { clientID })

const logOf = doc => {
  const log = []
  doc.on('update', update => log.push(update))
  return log
}

const packed = log => Buffer.concat(log.flatMap(update => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(update.length)
  return [head, update]
}))

const unpacked = bytes => {
  const log = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at)
    log.push(new Uint8Array(bytes.subarray(at + 4, end)))
    at = end
  }
  return log
}

await main()
