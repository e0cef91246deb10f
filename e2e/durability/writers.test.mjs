// Two servers, one bucket, nothing else between them, and a network that
// delays, loses and repeats what they ask of the store.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, connected, synced } from '../lib/client.mjs'
import { lacks, load } from '../lib/contain.mjs'
import { startProxy } from '../lib/proxy.mjs'
import { freshRandom, randomOf } from '../lib/random.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { startServer } from '../lib/server.mjs'
import { typing } from '../lib/typing.mjs'
import { eventually } from '../lib/wait.mjs'

const DOCUMENTS = ['one', 'two']

/** Enough for each fault to come twice. */
const REQUESTS = 50

/** The longest pause of a server after failures, and time for the write. */
const CATCH_UP_MS = 90_000

/** Something hangs. */
const TIMEOUT_MS = 240_000

for (const run of [1, 2, 3]) {
  test(`two servers behind a bad network lose nothing (${run} of 3)`, { skip: noS3, timeout: TIMEOUT_MS }, async t => {
    const random = freshRandom(t)
    const shelf = new Shelf()
    const proxy = await startProxy(t)
    const env = { ...shelf.env(proxy.url), SAVE_DEBOUNCE: '100ms', SAVE_MAX_WAIT: '300ms' }
    const servers = [await startServer(t, { env }), await startServer(t, { env })]
    const clients = await join(t, servers)
    proxy.storm(random)
    const stops = clients.map(client => typing(t, client, randomOf(random(1e9)), { everyMs: 40 }))
    await eventually('each fault has come', () => sum(proxy.counts) >= REQUESTS, 60_000)
    for (const stop of stops) stop()
    await proxy.heal()
    t.diagnostic(JSON.stringify(proxy.counts))

    await eventually('the bucket holds all that was written', () => holdsAll(shelf, clients), CATCH_UP_MS, 200)
    for (const { closes } of clients) assert.deepEqual(closes, [])
    const { snapshots_merged: merged } = await servers[0].metrics()
    const { snapshots_merged: mergedToo } = await servers[1].metrics()
    assert.ok(merged + mergedToo > 0, 'neither server has met the other')
    await allSeeAll(t, servers, env, clients)
  })
}

const join = async (t, servers) => {
  const clients = []
  for (const id of DOCUMENTS) {
    for (const server of [...servers, ...servers]) clients.push({ id, ...connect(t, server, id) })
  }
  await Promise.all(clients.map(synced))
  return clients
}

const holdsAll = async (shelf, clients) => {
  for (const id of DOCUMENTS) {
    const stored = load(await shelf.read(id))
    if (clients.some(client => client.id === id && lacks(stored, client.doc))) return false
  }
  return true
}

/** Both servers load anew; whoever then opens a document sees everything. */
const allSeeAll = async (t, servers, env, clients) => {
  for (const { provider } of clients) provider.disconnect()
  for (const server of servers) assert.deepEqual(await server.stop(), { code: 0, signal: null })
  for (const { dataDir } of servers) {
    const again = await startServer(t, { dataDir, env })
    for (const id of DOCUMENTS) {
      const fresh = await connected(t, again, id)
      for (const client of clients.filter(client => client.id === id)) {
        assert.equal(lacks(fresh.doc, client.doc), null, id)
      }
    }
  }
}

const sum = counts => Object.values(counts).reduce((a, b) => a + b, 0)
