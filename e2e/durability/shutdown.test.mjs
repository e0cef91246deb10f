// The end of a server, with and without a journal, with and without a store.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { connected, converged, gone, rawSocket } from '../lib/client.mjs'
import { lacks, load } from '../lib/contain.mjs'
import { startProxy } from '../lib/proxy.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const DOCUMENTS = ['one', 'team/two']

/** What the server is given, and what it may take on a busy machine. */
const SHUTDOWN_TIMEOUT = '5s'
const SHUTDOWN_MS_MAX = 10_000

/** Something hangs. */
const TIMEOUT_MS = 120_000

test('without a journal an edit survives SIGTERM', { timeout: TIMEOUT_MS }, async t => {
  const env = { JOURNAL: 'off' }
  const server = await startServer(t, { env })
  const [a, b] = [await connected(t, server, 'doc'), await connected(t, server, 'doc')]
  a.doc.getText('t').insert(0, 'saved')
  await converged([a, b])
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  await gone([a, b])
  const late = await connected(t, await startServer(t, { dataDir: server.dataDir, env }), 'doc')
  assert.equal(late.doc.getText('t').toString(), 'saved')
})

test('with a journal SIGTERM in an outage is no loss, and the store gets it after the restart', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const { shelf, proxy, server, docs, took, exit } = await stopInOutage(t, {})
  assert.deepEqual(exit, { code: 0, signal: null }, server.log)
  assert.ok(took < SHUTDOWN_MS_MAX, `took ${took} ms`)
  await proxy.heal()
  await startServer(t, { dataDir: server.dataDir, env: shelf.env(proxy.url) })
  for (const [id, doc] of docs) {
    await eventually(`the bucket holds ${id}, which nobody has opened`, async () =>
      lacks(load(await shelf.read(id)), doc) === null, 30_000, 100)
  }
})

test('without one it is a failure, and the log says of which documents', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const { server, took, exit } = await stopInOutage(t, { JOURNAL: 'off' })
  assert.deepEqual(exit, { code: 1, signal: null }, server.log)
  assert.ok(took < SHUTDOWN_MS_MAX, `took ${took} ms`)
  const errors = server.logLines.filter(({ level }) => level === 'ERROR')
  assert.deepEqual(errors.map(({ doc }) => doc).sort(), [...DOCUMENTS].sort())
})

/** Edits documents, one of them saved before, while the store hangs, and sends SIGTERM. */
const stopInOutage = async (t, env) => {
  const shelf = new Shelf()
  const proxy = await startProxy(t)
  const server = await startServer(t, { env: { ...shelf.env(proxy.url), SHUTDOWN_TIMEOUT, SAVE_DEBOUNCE: '50ms', ...env } })
  const clients = []
  for (const id of DOCUMENTS) {
    const encoded = encodeURIComponent(id)
    const [a, b] = [await connected(t, server, encoded), await connected(t, server, encoded)]
    a.doc.getText('t').insert(0, 'saved ')
    await eventually('it is saved', () => shelf.read(id), 10_000, 50)
    clients.push(a, b)
  }
  proxy.hang()
  for (const { doc } of clients) doc.getText('t').insert(0, 'not saved ')
  await converged(clients.slice(0, 2))
  await converged(clients.slice(2))
  const docs = new Map(DOCUMENTS.map((id, i) => [id, load(Y.encodeStateAsUpdate(clients[2 * i].doc))]))
  const start = Date.now()
  const exit = await server.stop()
  const took = Date.now() - start
  await gone(clients)
  return { shelf, proxy, server, docs, took, exit }
}

test('SIGTERM sends clients away with 1001, not all in the same moment', { timeout: TIMEOUT_MS }, async t => {
  const server = await startServer(t, { env: { SHUTDOWN_TIMEOUT } })
  const sockets = []
  for (let i = 0; i < 500; i++) sockets.push(await rawSocket(t, server, `doc ${i % 20}`))
  const times = []
  for (const socket of sockets) socket.on('close', () => times.push(Date.now()))
  const start = Date.now()
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  const took = Date.now() - start
  const closes = await Promise.all(sockets.map(({ closed }) => closed))
  assert.deepEqual([...new Set(closes.map(({ code }) => code))], [1001])
  assert.ok(took < SHUTDOWN_MS_MAX, `took ${took} ms`)
  const spread = times.at(-1) - times[0]
  assert.ok(spread > 100, `all within ${spread} ms`)
  assert.ok(times.at(-1) - start < SHUTDOWN_MS_MAX)
})
