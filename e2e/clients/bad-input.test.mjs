// Whoever sends what it must not loses its connection, and nobody else notices.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import * as Y from 'yjs'
import { connected, converged, rawSocket } from '../lib/client.mjs'
import { frames } from '../lib/frames.mjs'
import { hostileFloods, hostileStateVectors, hostileUpdates } from '../lib/hostile.mjs'
import { startServer } from '../lib/server.mjs'
import { unhex } from '../lib/update.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const { inputs: MALFORMED } = JSON.parse(readFileSync(
  new URL('../../engine/tests/it/golden/malformed.json', import.meta.url), 'utf8'))

const FRAME_OF = { update: frames.update, state_vector: frames.step1, awareness: frames.awareness }

/** Two honest clients, and the check that they still are undisturbed. */
const goodPair = async (t, server, room) => {
  const pair = [await connected(t, server, room), await connected(t, server, room)]
  let edits = 0
  return async when => {
    const [writer, reader] = edits++ % 2 ? pair : pair.toReversed()
    writer.doc.getText('good').insert(0, `${edits} `)
    await eventually(`the pair is undisturbed: ${when}`, () =>
      reader.doc.getText('good').toString().startsWith(`${edits} `))
    for (const { closes } of pair) assert.deepEqual(closes, [], when)
  }
}

const closedWith = async (socket, codes, what) => {
  const { code } = await Promise.race([socket.closed, sleep(10_000).then(() => ({ code: 'not closed' }))])
  assert.ok(codes.includes(code), `${what}: closed with ${code}, not ${codes.join(' or ')}`)
}

test('malformed frames close their connection with 1007', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  const bad = {
    'an unknown message type': '04',
    'a large message type': '7f00',
    'an unknown sync message': '000300',
    'a sync message without type': '00',
    'an update without length': '0002',
    'an update cut short': '00020501',
    'an empty update': '000200',
    'an update that says nothing of deletes': '00020100',
    'a state vector cut short': '00000201',
    'an awareness message without length': '01',
    'an awareness message cut short': '010501',
    'a type that never ends': 'ff'.repeat(20),
    'a length that never ends': '0002' + 'ff'.repeat(20),
    'a length past the end': '0002ffffffff0f',
    'a good message, then half a one': '0000010000'
  }
  for (const [name, hex] of Object.entries(bad)) {
    const socket = await rawSocket(t, server, 'doc')
    socket.send(unhex(hex))
    await closedWith(socket, [1007, 1008], name)
  }
  await undisturbed('after malformed frames')
  // A few a minute: who closes its own connections again and again does not fill a disk.
  await eventually('closes are logged with their reasons', () => {
    const lines = server.log.split('\n').filter(line => line.includes('closed for a fault'))
    return lines.length === 10 && lines.every(line => /"reason":"[^"]+"/.test(line))
  })
})

test('malformed updates, state vectors and awareness close their connection with 1007', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  for (const { name, kind, hex } of MALFORMED) {
    const socket = await rawSocket(t, server, 'doc')
    socket.send(FRAME_OF[kind](unhex(hex)))
    await closedWith(socket, [1007], name)
  }
  await undisturbed('after malformed updates')
  const late = await connected(t, server, 'doc')
  assert.equal(late.doc.store.pendingStructs, null)
  assert.deepEqual([...late.doc.share.keys()], ['good'], 'nothing of it is in the document')
})

test('a malformed update in a SyncStep2 is refused alike', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  for (const { name, hex } of MALFORMED.filter(({ kind }) => kind === 'update').slice(0, 20)) {
    const socket = await rawSocket(t, server, 'doc')
    socket.send(frames.step2(unhex(hex)))
    await closedWith(socket, [1007], name)
  }
  await undisturbed('after malformed SyncStep2')
})

test('text frames close with 1003', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  const socket = await rawSocket(t, server, 'doc')
  socket.send('hello')
  await closedWith(socket, [1003], 'text')
  await undisturbed('after a text frame')
})

test('oversized frames close with 1009', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  const whole = await rawSocket(t, server, 'doc')
  whole.send(new Uint8Array(17 << 20))
  await closedWith(whole, [1009], 'one frame')
  const fragments = await rawSocket(t, server, 'doc')
  for (let i = 0; i < 20; i++) fragments.send(new Uint8Array(1 << 20), { fin: false })
  await closedWith(fragments, [1009], 'fragments')
  await undisturbed('after oversized frames')
})

test('a stray SyncStep1 without state vector is ignored', async t => {
  const server = await startServer(t)
  const socket = await rawSocket(t, server, 'doc')
  socket.send(unhex('0000'))
  socket.send(frames.step1(unhex('00')))
  await eventually('the next message is answered', () => socket.frames.some(f => f[0] === 0 && f[1] === 1))
})

test('several messages in one frame are all read', async t => {
  const server = await startServer(t)
  const client = await connected(t, server, 'doc')
  const doc = new Y.Doc()
  doc.getText('t').insert(0, 'packed')
  const socket = await rawSocket(t, server, 'doc')
  socket.send(Buffer.concat([frames.update(Y.encodeStateAsUpdate(doc)), frames.step1(unhex('00'))]))
  await converged([client, { doc }])
  await eventually('the second message is answered', () => socket.frames.some(f => f[0] === 0 && f[1] === 1))
})

test('what is no WebSocket traffic ends its connection', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  const garbage = {
    'an unmasked frame': '820100',
    'reserved bits': 'f28000000000',
    'an unknown opcode': '838000000000',
    'a continuation of nothing': '808000000000',
    'a long ping': `89fe0080${'00'.repeat(132)}`,
    'a close frame with half a code': '888100000000ff',
    noise: `ff${randomBytes(64).toString('hex')}`
  }
  for (const [name, hex] of Object.entries(garbage)) {
    const socket = await rawSocket(t, server, 'doc')
    socket._socket.write(unhex(hex))
    const ended = await Promise.race([socket.closed, sleep(10_000)])
    assert.ok(ended, `${name}: still connected`)
  }
  for (const text of ['hello\r\n\r\n', 'GET\r\n\r\n', '\x16\x03\x01\x02\x00\x01', 'GET /sync/v1/doc HTTP/1.1\r\n' + 'x: y\r\n'.repeat(20_000)]) {
    const socket = connectTcp(server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.write(text)
    const ended = await Promise.race([new Promise(resolve => socket.on('close', () => resolve(true))), sleep(10_000)])
    socket.destroy()
    assert.ok(ended, `still connected after ${JSON.stringify(text.slice(0, 20))}`)
  }
  await undisturbed('after garbage')
})

test('hostile updates harm neither the server nor other documents', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  for (const { name, refused, updates } of hostileUpdates()) {
    const socket = await rawSocket(t, server, refused ? 'doc' : `hostile ${name}`)
    for (const update of updates) socket.send(frames.update(update))
    if (refused) await closedWith(socket, [1007], name)
    else await answers(socket, name)
    await undisturbed(name)
  }
  for (const { name, bytes, refused } of hostileStateVectors()) {
    const socket = await rawSocket(t, server, 'doc')
    socket.send(frames.step1(bytes))
    if (refused) await closedWith(socket, [1007], name)
    else await answers(socket, name)
    await undisturbed(name)
  }
})

test('types that stand in each other too deep for Yjs are not shared', async t => {
  const server = await startServer(t)
  const [writer, reader] = [await connected(t, server, 'doc'), await connected(t, server, 'doc')]
  let innermost = writer.doc.getMap('m')
  const nest = times => writer.doc.transact(() => {
    for (let i = 0; i < times; i++) innermost = innermost.set('k', new Y.Map())
  })
  nest(400)
  await converged([writer, reader])
  nest(5_000)
  await eventually('it is refused', async () => (await server.metrics()).updates_refused === 1)
  const late = await connected(t, server, 'doc')
  await converged([reader, late])
  // What overflows the stack of whoever has it all.
  assert.throws(() => writer.doc.getMap('m').delete('k'), RangeError)
  late.doc.getMap('m').delete('k')
  await converged([reader, late])
  assert.deepEqual([writer, reader, late].flatMap(({ closes }) => closes), [])
})

test('floods harm neither the server nor other documents', async t => {
  const server = await startServer(t)
  const undisturbed = await goodPair(t, server, 'doc')
  for (const { name, updates } of hostileFloods()) {
    const socket = await rawSocket(t, server, `flood ${name}`)
    for (const update of updates) socket.send(frames.update(update))
    await undisturbed(name)
    await Promise.race([answers(socket, name), socket.closed])
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
})

const answers = async (socket, what) => {
  socket.frames.length = 0
  socket.send(frames.step1(unhex('00')))
  await eventually(`it is still answered: ${what}`, () =>
    socket.readyState > 1 || socket.frames.some(f => f[0] === 0 && f[1] === 1), 30_000)
}
