// kill -9 at any moment: what another client has seen is there afterwards,
// although nobody who wrote or saw it comes back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, connected, gone } from '../lib/client.mjs'
import { load } from '../lib/contain.mjs'
import { freshRandom, randomOf } from '../lib/random.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { Seen } from '../lib/seen.mjs'
import { startServer, temporaryFolder } from '../lib/server.mjs'
import { typing } from '../lib/typing.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const DOCUMENTS = ['one', 'two', 'three']
const WRITERS = 2

/** Something hangs. */
const TIMEOUT_MS = 180_000

/** From saving all the time to never before the kill. */
const DEBOUNCES = ['20ms', '150ms', '5s']

test('kill -9 under load, 20 times, loses nothing that another client has seen', { timeout: TIMEOUT_MS }, async t => {
  await killLoop(t, { rounds: 20, env: () => ({}), afterStart: () => {} })
})

test('the same with snapshots in S3, and the bucket has it before anybody opens it', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const shelf = new Shelf()
  const afterStart = records => Promise.all(DOCUMENTS.map(id =>
    eventually(`the object of ${id} holds all that was seen`, async () =>
      records.get(id).missingFrom(load(await shelf.read(id))) === null, 30_000, 100)))
  await killLoop(t, { rounds: 5, env: () => shelf.env(), afterStart })
})

const killLoop = async (t, { rounds, env, afterStart }) => {
  const random = freshRandom(t)
  const dataDir = await temporaryFolder(t)
  const records = new Map(DOCUMENTS.map(id => [id, new Seen()]))
  const start = () => startServer(t, { dataDir, env: { ...env(), SAVE_DEBOUNCE: random.of(DEBOUNCES) } })
  let server = await start()
  for (let round = 1; round <= rounds; round++) {
    await workUntilKilled(t, server, records, random)
    // Now and then the next one does not live long, either.
    if (random.once(4)) await killSoon(await start(), random)
    server = await start()
    await afterStart(records)
    await allIsThere(t, server, records, `round ${round}`)
  }
  await server.stop()
}

/** Lets new clients edit all documents and kills the server meanwhile. */
const workUntilKilled = async (t, server, records, random) => {
  const clients = []
  const stops = []
  for (const [id, seen] of records) {
    const writers = Array.from({ length: WRITERS }, () => seen.watch(connect(t, server, id)))
    clients.push(...writers, seen.watch(connect(t, server, id)))
    for (const writer of writers) stops.push(typing(t, writer, randomOf(random(1e9))))
  }
  const before = new Map([...records].map(([id, seen]) => [id, seen.updates]))
  await eventually('everybody sees others\' edits', () =>
    [...records].every(([id, seen]) => seen.updates > before.get(id) + 20), 20_000)
  await killSoon(server, random)
  for (const stop of stops) stop()
  await gone(clients)
}

const killSoon = async (server, random) => {
  await sleep(random(300))
  assert.deepEqual(await server.stop('SIGKILL'), { code: null, signal: 'SIGKILL' }, server.log)
}

/** A new client of each document is shown all that anybody had been shown. */
const allIsThere = async (t, server, records, when) => {
  for (const [id, seen] of records) {
    const fresh = await connected(t, server, id)
    assert.equal(seen.missingFrom(fresh.doc), null, `${id} after ${when}`)
    fresh.provider.destroy()
  }
}
