// Clients that do not read, while others write as much as they may.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as decoding from 'lib0/decoding'
import * as Y from 'yjs'
import { connected, converged, rawSocket } from '../lib/client.mjs'
import { frames } from '../lib/frames.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const SECONDS = Number(process.env.STALL_SECONDS ?? 60)
/** What was deleted leaves memory soon, so that it is not what is measured. */
const COMPACT = { SAVE_DEBOUNCE: '200ms', SAVE_MAX_WAIT: '500ms' }
const OUTBOX_BYTES_MAX = 2 ** 20
const MEMORY_BYTES_MAX = 16 * OUTBOX_BYTES_MAX

test('a client that does not read for long gets all it missed in one update', { timeout: (SECONDS + 60) * 1_000 }, async t => {
  const server = await startServer(t, { env: { ...COMPACT, STALL_MAX: '10m' } })
  const [writer, reader] = [await connected(t, server, 'busy'), await connected(t, server, 'busy')]
  const slow = await bareClient(t, server, 'busy')
  await eventually('the slow client is in step', () => slow.told.length > 0)
  const before = await server.residentBytes()

  saysSomething(t, slow)
  slow.socket.pause()
  const load = await writeFor(SECONDS, writer, server)
  const onItsWay = slow.told.length
  slow.socket.resume()
  await eventually('the slow client has caught up', () => sameText(slow, writer), 30_000)
    .catch(async error => { throw new Error(await story(error.message, server, writer, slow, onItsWay)) })
  await converged([writer, reader])

  const { connections_lagged: lagged, received_bytes: received } = await server.metrics()
  t.diagnostic(`${load.edits} edits, ${mib(received)} MiB in ${SECONDS} s; memory ${mib(before)} MiB before, ${mib(load.peak)} MiB at most`)
  t.diagnostic(`${slow.told.length - onItsWay} updates when it read again, the largest ${mib(Math.max(...slow.told))} MiB`)
  assert.ok(received > 8 * OUTBOX_BYTES_MAX, 'it would not have fit')
  assert.equal(lagged, 1, 'it lags once')
  assert.ok(slow.told.length < load.edits / 2, 'most came in one')
  assert.ok(load.peak - before < MEMORY_BYTES_MAX, `memory grew by ${load.peak - before} bytes`)
  assert.equal(slow.socket.readyState, slow.socket.OPEN, 'it is not closed')
  assert.deepEqual([writer.closes, reader.closes], [[], []])
})

test('a client that reads nothing at all is closed, and comes back to all of it', { timeout: 60_000 }, async t => {
  const server = await startServer(t, { env: { ...COMPACT, STALL_MAX: '2s' } })
  const [writer, slow] = [await connected(t, server, 'busy'), await connected(t, server, 'busy')]
  slow.provider.ws.pause()
  const isClosed = () => /nothing was read for too long/.test(server.log)
  await writeFor(30, writer, server, isClosed)
  assert.ok(isClosed(), 'it is closed')
  slow.provider.ws.resume()
  await converged([writer, slow], 30_000)
  // The close frame stands behind what it does not read, and may not come.
  assert.ok(slow.closes.length > 0 && slow.closes.every(code => code === 1013 || code === 1006), `${slow.closes}`)
  assert.equal(server.logLines.filter(({ code }) => code === 1013).length, 1)
  assert.deepEqual(writer.closes, [])
})

test('many that come at once share the memory of what they get', { timeout: 60_000 }, async t => {
  const CLIENTS = 60
  const server = await startServer(t)
  const writer = await connected(t, server, 'large')
  const text = Array.from({ length: 4 * 2 ** 20 }, (_, i) => String.fromCharCode(97 + (i * i) % 26)).join('')
  writer.doc.getText('t').insert(0, text)
  await eventually('the server has it', async () => (await server.metrics()).updates_applied === 1)
  const before = await server.residentBytes()
  const sockets = []
  for (let i = 0; i < CLIENTS; i++) {
    const { socket } = await bareClient(t, server, 'large', { greet: false })
    sockets.push(socket)
  }
  for (const socket of sockets) {
    socket.pause()
    socket.send(frames.step1(Uint8Array.of(0)))
  }
  await eventually('all have asked', async () => (await server.metrics()).messages_received >= CLIENTS + 2)
  await sleep(500)
  const grown = await server.residentBytes() - before
  t.diagnostic(`${CLIENTS} answers of 4 MiB wait: memory grew by ${mib(grown)} MiB`)
  assert.ok(grown < CLIENTS * 4 * 2 ** 20 / 4, `${grown} bytes`)
})

test('messages that never end take what one user may, on however many connections', { timeout: 60_000 }, async t => {
  const [CONNECTIONS, LENGTH] = [100, 8 * 2 ** 20]
  const server = await startServer(t, { env: { UNFINISHED_BYTES_PER_USER_MAX: '16MiB', MESSAGE_TIMEOUT: '4s' } })
  const pair = [await connected(t, server, 'good'), await connected(t, server, 'good', { user: 'other' })]
  const before = await server.residentBytes()
  const part = Buffer.alloc(LENGTH - 1, 3)
  const attackers = []
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = await rawSocket(t, server, `bad ${i}`)
    socket._socket.write(Buffer.concat([frameHead(LENGTH), part]))
    attackers.push(socket)
  }
  // One after the other comes to an end of its time. The others wait, and not
  // for long enough that they are pinged and answer within their message.
  let peak = 0
  const first = Promise.race(attackers.map(({ closed }) => closed))
  await Promise.all([first, eventually('time is over', async () => {
    peak = Math.max(peak, await server.residentBytes())
    return attackers.filter(({ readyState }) => readyState === 3).length > 2
  }, 20_000, 100)])
  const { code, reason } = await first
  assert.deepEqual({ code, reason }, { code: 1008, reason: 'a message took too long to come' })
  t.diagnostic(`${CONNECTIONS} messages of ${mib(LENGTH)} MiB but for a byte: memory ${mib(before)} MiB before, ${mib(peak)} MiB at most`)
  assert.ok(peak - before < 40 * 2 ** 20, `memory grew by ${peak - before} bytes`)
  pair[0].doc.getText('t').insert(0, 'still here')
  await converged(pair)
  assert.deepEqual(pair.flatMap(({ closes }) => closes), [])
})

/** The head of a binary frame, masked with zeroes. */
const frameHead = length => {
  const head = Buffer.alloc(14)
  head.set([0x82, 0xff])
  head.writeBigUInt64BE(BigInt(length), 2)
  return head
}

/**
 * A client that shows what it is told and closes for nothing: y-websocket gives
 * up by itself when it hears nothing for 30 s.
 */
const bareClient = async (t, server, room, { greet = true } = {}) => {
  const socket = await rawSocket(t, server, room)
  const client = { socket, doc: new Y.Doc(), told: [] }
  socket.on('message', frame => {
    const decoder = decoding.createDecoder(frame)
    if (decoding.readVarUint(decoder) !== 0 || decoding.readVarUint(decoder) === 0) return
    const update = decoding.readVarUint8Array(decoder)
    client.told.push(update.length)
    Y.applyUpdate(client.doc, update)
  })
  if (greet) socket.send(frames.step1(Uint8Array.of(0)))
  return client
}

/**
 * Has a client say something each second, as all clients do now and then, so that
 * it is not taken for dead. That also tells how much room its kernel has once it
 * reads again: on a loopback, whose segments are as large as half of that room,
 * Linux may tell the sender of a little less than a segment takes, and of no more
 * when all is read (a new window is told when it is twice the last). Then the sender
 * asks by itself, but the longer it has waited the later: after a minute, in another.
 */
const saysSomething = (t, { socket }) => {
  const timer = setInterval(() => socket.ping(), 1_000)
  t.after(() => clearInterval(timer))
}

/** What there is to know when a slow client does not catch up. */
const story = async (what, server, writer, slow, onItsWay) => {
  const pending = slow.doc.store.pendingStructs?.missing
  const metrics = await server.metrics()
  return [
    what,
    `told ${slow.told.length}, ${slow.told.length - onItsWay} since it reads again, the last of ${slow.told.slice(-3)} bytes; ready state ${slow.socket.readyState}`,
    `waits for ${JSON.stringify([...pending ?? []])}; writer closed by ${writer.closes}`,
    `of the writer ${Y.getState(writer.doc.store, writer.doc.clientID)}, known ${Y.getState(slow.doc.store, writer.doc.clientID)}`,
    JSON.stringify(Object.fromEntries(Object.entries(metrics).filter(([, value]) => value > 0))),
    server.log.slice(-2_000)
  ].join('\n')
}

const sameText = (a, b) => a.doc.getText('t').toString() === b.doc.getText('t').toString()

/** Writes much and deletes it again, so that it is the traffic that is large. */
const writeFor = async (seconds, { doc }, server, isEnough = () => false) => {
  const text = doc.getText('t')
  const start = Date.now()
  let [edits, peak, seen] = [0, 0, 0]
  while (Date.now() - start < seconds * 1_000 && !isEnough()) {
    for (let i = 0; i < 10; i++) {
      doc.transact(() => {
        text.insert(text.length, `${edits++} `.padEnd(2_048, 'abcdefghij '))
        if (text.length > 20_000) text.delete(0, text.length - 20_000)
      })
    }
    if (Date.now() - start > seen * 1_000) {
      seen++
      peak = Math.max(peak, await server.residentBytes())
    }
    await sleep(10)
  }
  return { edits, peak }
}

const mib = bytes => (bytes / 2 ** 20).toFixed(1)
