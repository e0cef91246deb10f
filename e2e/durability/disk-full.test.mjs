// The disk that holds journal and documents is full, and then has room again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, connected, converged, gone, synced } from '../lib/client.mjs'
import { fill, noMount, smallDisk } from '../lib/disk.mjs'
import { freshRandom, randomOf } from '../lib/random.mjs'
import { Seen } from '../lib/seen.mjs'
import { startServer } from '../lib/server.mjs'
import { typing } from '../lib/typing.mjs'
import { eventually } from '../lib/wait.mjs'

const DISK_BYTES = 8 << 20

/** The longest pauses of the server before it tries again, and some time. */
const RECOVERY_MS = 60_000

/** Something hangs. */
const TIMEOUT_MS = 180_000

const AUTH = 2

test('a full disk refuses updates, closes nothing, and is forgotten once there is room', { skip: noMount, timeout: TIMEOUT_MS }, async t => {
  const random = freshRandom(t)
  const dataDir = smallDisk(t, DISK_BYTES)
  const env = { SAVE_DEBOUNCE: '100ms', SAVE_MAX_WAIT: '500ms' }
  const server = await startServer(t, { dataDir, env })
  const seen = new Seen()
  const writers = [1, 2].map(() => hearing(seen.watch(connect(t, server, 'doc'))))
  const reader = seen.watch(connect(t, server, 'doc'))
  const clients = [...writers, reader]
  await Promise.all(clients.map(synced))
  const stops = writers.map(writer => typing(t, writer, randomOf(random(1e9)), { bytes: 200 }))
  await eventually('the reader sees edits', () => seen.updates > 20)

  const filler = fill(t, dataDir)
  await eventually('the writers are told that their edits are not taken', () => writers.every(writer => writer.refusals > 0), 30_000)
  writers[0].doc.getMap('m').set('refused', true)
  await readsGoOn(t, server, reader)
  for (const stop of stops) stop()
  assert.equal(reader.doc.getMap('m').has('refused'), false)
  for (const { closes } of clients) assert.deepEqual(closes, [])

  filler.remove()
  await converged(clients, RECOVERY_MS)
  assert.equal(reader.doc.getMap('m').get('refused'), true)
  for (const { closes } of clients) assert.deepEqual(closes, [])
  for (const { refusals } of writers) assert.equal(refusals, 1, 'told once, not again and again')

  // On which the server relies again as on any other.
  writers[1].doc.getMap('m').set('after', true)
  await converged(clients)
  await server.stop('SIGKILL')
  await gone(clients)
  const late = await connected(t, await startServer(t, { dataDir, env }), 'doc')
  assert.equal(seen.missingFrom(late.doc), null)
  assert.deepEqual([late.doc.getMap('m').get('refused'), late.doc.getMap('m').get('after')], [true, true])
})

/** Has a client count what y-websocket would print as a warning. */
const hearing = client => {
  client.refusals = 0
  client.provider.messageHandlers[AUTH] = () => { client.refusals++ }
  return client
}

/** Whoever comes now is shown what there is. */
const readsGoOn = async (t, server, reader) => {
  const late = await connected(t, server, 'doc')
  await converged([reader, late])
  late.provider.disconnect()
}
