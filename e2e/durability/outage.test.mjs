// The store is away for a minute, and people go on working.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { connect, connected, converged, refusal } from '../lib/client.mjs'
import { lacks, load } from '../lib/contain.mjs'
import { startProxy } from '../lib/proxy.mjs'
import { freshRandom, randomOf } from '../lib/random.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { startServer, token } from '../lib/server.mjs'
import { typing } from '../lib/typing.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const OUTAGE_SECONDS = Number(process.env.OUTAGE_SECONDS ?? 60)
const DOCUMENTS = ['one', 'two']

/** The longest pause of the server after failures, and time for the write. */
const CATCH_UP_MS = 75_000

/** Something hangs. */
const TIMEOUT_MS = OUTAGE_SECONDS * 1000 + 240_000

/**
 * What the server may take beyond what it had: a fixed part, and some times
 * what is written in the outage. That lies in memory as it came, once more
 * while a snapshot is encoded, and once more on its way to the store.
 */
const growthBytesMax = written => (16 << 20) + 3 * written

test(`an outage of the store of ${OUTAGE_SECONDS} s stops nobody and loses nothing`, { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const random = freshRandom(t)
  const shelf = new Shelf()
  const proxy = await startProxy(t)
  const env = { ...shelf.env(proxy.url), SAVE_DEBOUNCE: '500ms', SAVE_MAX_WAIT: '2s' }
  const server = await startServer(t, { env })
  const kept = load()
  kept.getText('t').insert(0, 'written long ago')
  await shelf.write('kept', Y.encodeStateAsUpdate(kept))

  const pairs = await pairsOf(t, server)
  const clients = pairs.flat()
  const stops = clients.map(client => typing(t, client, randomOf(random(1e9)), { everyMs: 50, bytes: 2000 }))
  await eventually('saving has begun', async () => (await objects(shelf)).every(Boolean), 20_000, 100)

  proxy.down()
  const late = lateComer(t, server)
  await outage(t, server, pairs)
  assert.equal(late.opened, false)
  await proxy.heal()
  await caughtUp(t, shelf, pairs)
  for (const stop of stops) stop()
  for (const { closes } of clients) assert.deepEqual(closes, [], 'nobody was sent away')

  await eventually('what could not be opened can be', () => late.opened, CATCH_UP_MS)
  assert.equal(lacks(late.doc, kept), null)
  for (const pair of pairs) await converged(pair)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  const stored = [...await objects(shelf), await shelf.read('kept')].map(load)
  for (const [i, { doc }] of [...pairs.map(([one]) => one), late].entries()) assert.equal(lacks(stored[i], doc), null)
})

/** Two clients of each document. */
const pairsOf = (t, server) => Promise.all(DOCUMENTS.map(id =>
  Promise.all([connected(t, server, id), connected(t, server, id)])))

/** Wants to open a stored document, again and again, and edits meanwhile. */
const lateComer = (t, server) => {
  const late = connect(t, server, 'kept')
  late.opened = false
  late.provider.on('sync', () => { late.opened = true })
  late.doc.getText('t').insert(0, 'written in the outage, ')
  return late
}

/** Sees to it that all goes on as it should, and that memory is bounded. */
const outage = async (t, server, pairs) => {
  const end = Date.now() + OUTAGE_SECONDS * 1000
  const sizeBefore = size(pairs)
  const before = await server.residentBytes()
  let most = 0
  for (let beat = 1; Date.now() < end; beat++) {
    await allShare(pairs, beat)
    await nothingOpens(server)
    most = Math.max(most, await server.residentBytes())
    await sleep(500)
  }
  const written = size(pairs) - sizeBefore
  t.diagnostic(`took ${kib(most - before)} more at most, while documents grew by ${kib(written)}`)
  assert.ok(most - before < growthBytesMax(written), `grew from ${before} to ${most} bytes with ${written} bytes written`)
}

const allShare = async (pairs, beat) => {
  for (const [one] of pairs) one.doc.getMap('beats').set('beat', beat)
  await eventually('edits are shared in the outage', () =>
    pairs.every(([, other]) => other.doc.getMap('beats').get('beat') === beat), 20_000)
}

/** Neither what is stored, nor what nobody knows not to be. */
const nothingOpens = async server => {
  const query = `?token=${encodeURIComponent(token())}`
  for (const id of ['kept', 'new']) {
    assert.equal((await refusal(`${server.url}/${id}${query}`)).status, 503, id)
  }
}

/** Waits until the bucket holds what the clients hold now. */
const caughtUp = async (t, shelf, pairs) => {
  const start = Date.now()
  const missed = pairs.map(([{ doc }]) => load(Y.encodeStateAsUpdate(doc)))
  await eventually('the bucket holds what was written in the outage', async () =>
    (await objects(shelf)).every((object, i) => lacks(load(object), missed[i]) === null), CATCH_UP_MS, 500)
  t.diagnostic(`caught up ${Date.now() - start} ms after the outage`)
}

/** Bytes of all documents. */
const size = pairs => pairs.reduce((sum, [{ doc }]) => sum + Y.encodeStateAsUpdate(doc).length, 0)

const kib = bytes => `${Math.round(bytes / 1024)} KiB`

const objects = shelf => Promise.all(DOCUMENTS.map(id => shelf.read(id)))
