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

/**
 * What the server may take beyond what it had: a fixed part, and some times
 * what is written in the outage. That lies in memory as it came, once more
 * while a snapshot is encoded, and once more on its way to the store.
 */
const growthBytesMax = written => (32 << 20) + 4 * written

test(`an outage of the store of ${OUTAGE_SECONDS} s stops nobody and loses nothing`, { skip: noS3 }, async t => {
  const random = freshRandom(t)
  const shelf = new Shelf()
  const proxy = await startProxy(t)
  const env = { ...shelf.env(proxy.url), SAVE_DEBOUNCE: '500ms', SAVE_MAX_WAIT: '2s' }
  const server = await startServer(t, { env })
  const kept = new Y.Doc()
  kept.getText('t').insert(0, 'written long ago')
  await shelf.write('kept', Y.encodeStateAsUpdate(kept))

  const pairs = new Map()
  for (const id of DOCUMENTS) pairs.set(id, [await connected(t, server, id), await connected(t, server, id)])
  const clients = [...pairs.values()].flat()
  const stops = clients.map(client => typing(client, randomOf(random(1e9)), { everyMs: 50, bytes: 2000 }))
  await eventually('saving has begun', async () => (await objects(shelf)).every(Boolean), 20_000, 100)

  const sizeBefore = size(clients)
  const before = await server.residentBytes()
  proxy.down()
  const late = connect(t, server, 'kept')
  late.doc.getText('t').insert(0, 'written in the outage')
  const most = await duringOutage(t, server, pairs)
  assert.equal(late.provider.synced, false)
  assert.equal(late.doc.getText('t').toString(), 'written in the outage')
  const written = size(clients) - sizeBefore
  t.diagnostic(`took ${kib(most - before)} more at most, while documents grew by ${kib(written)}`)
  assert.ok(most - before < growthBytesMax(written), `grew from ${before} to ${most} bytes with ${written} bytes written`)

  await proxy.heal()
  const healed = Date.now()
  const missed = DOCUMENTS.map(id => load(Y.encodeStateAsUpdate(pairs.get(id)[0].doc)))
  await eventually('the bucket holds what was written in the outage', async () =>
    (await objects(shelf)).every((object, i) => lacks(load(object), missed[i]) === null), CATCH_UP_MS, 500)
  t.diagnostic(`caught up ${Date.now() - healed} ms after the outage`)
  for (const stop of stops) stop()
  for (const { closes } of clients) assert.deepEqual(closes, [], 'nobody was sent away')

  await eventually('what could not be opened can be', () => late.provider.synced, CATCH_UP_MS)
  assert.equal(lacks(late.doc, kept), null)
  for (const pair of pairs.values()) await converged(pair)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  for (const [id, [{ doc }]] of [...pairs, ['kept', [late]]]) {
    assert.equal(lacks(load(await shelf.read(id)), doc), null, id)
  }
})

/** Sees to it that all goes on as it should. Returns the most memory taken. */
const duringOutage = async (t, server, pairs) => {
  const end = Date.now() + OUTAGE_SECONDS * 1000
  let most = 0
  for (let beat = 1; Date.now() < end; beat++) {
    for (const [one, other] of [...pairs.values()]) {
      one.doc.getMap('beats').set('beat', beat)
      await eventually('edits are shared in the outage', () => other.doc.getMap('beats').get('beat') === beat)
    }
    const query = `?token=${encodeURIComponent(token())}`
    assert.equal((await refusal(`${server.url}/kept${query}`)).status, 503)
    most = Math.max(most, await server.residentBytes())
    await sleep(500)
  }
  return most
}

/** Bytes of all documents; two clients have each. */
const size = clients => clients.reduce((sum, { doc }) => sum + Y.encodeStateAsUpdate(doc).length, 0) / 2

const kib = bytes => `${Math.round(bytes / 1024)} KiB`

const objects = shelf => Promise.all(DOCUMENTS.map(id => shelf.read(id)))
