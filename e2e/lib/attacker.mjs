// A process that sends a server small inputs that broke others and frames at random,
// then floods, and reports what became of it: attacker.mjs URL TOKEN SEED FRAMES
import { once } from 'node:events'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { frames } from './frames.mjs'
import { hostileFloods, hostileStateVectors, hostileUpdates } from './hostile.mjs'
import { randomOf } from './random.mjs'
import { unhex } from './update.mjs'

const [url, token] = process.argv.slice(2)
const [seed, count] = process.argv.slice(4).map(Number)
const STEP_1 = frames.step1(unhex('00'))

/** Connections of attackers at the same time. */
const SIDE_BY_SIDE = 4

const main = async () => {
  const report = { inputs: 0, frames: 0, closed: 0, wrong: [] }
  const updates = input => ({ ...input, sent: input.updates.map(frames.update) })
  const small = [
    ...hostileUpdates().map(updates),
    ...hostileStateVectors().map(input => ({ ...input, sent: [frames.step1(input.bytes)] }))
  ]
  const floods = hostileFloods().map(updates)
  await ask('small')
  for (const input of small) await sendInput(input, report)
  const draw = randomOf(seed)
  const senders = Array.from({ length: SIDE_BY_SIDE }, (_, i) => sendAtRandom(draw, `random ${i}`, report))
  await Promise.all(senders)
  await ask('floods')
  for (const input of floods) await sendInput(input, report)
  process.send(report)
  process.disconnect()
}

/** Says what comes next, and waits until it may. */
const ask = async what => {
  process.send(what)
  await once(process, 'message')
}

/** What must be refused goes to the document of the good pair itself. */
const sendInput = async ({ name, refused, sent }, report) => {
  const socket = await open(refused ? 'good' : `hostile ${name}`)
  for (const frame of sent) socket.send(frame)
  const code = await fate(socket, true)
  report.inputs++
  // A flood may be refused for being one.
  const allowed = refused ? [1007] : refused === false ? [null] : [null, 1008, 1013]
  if (!allowed.includes(code)) report.wrong.push(`${name}: ${code ?? 'not closed'}`)
  socket.terminate()
}

const sendAtRandom = async (draw, room, report) => {
  let socket = await open(room)
  while (report.frames < count) {
    report.frames++
    socket.send(randomFrame(draw))
    const code = await fate(socket, false)
    if (code === null) continue
    report.closed++
    if (![1007, 1008].includes(code)) report.wrong.push(`a frame at random: ${code}`)
    socket = await open(room)
  }
  socket.terminate()
}

/**
 * The code that a socket is closed with, or null if it is still heard: it gets
 * a pong, or an answer to a SyncStep1.
 */
const fate = async (socket, asks) => {
  const answered = new Promise(resolve => {
    if (!asks) return socket.once('pong', () => resolve(null))
    socket.on('message', frame => { if (frame[0] === 0 && frame[1] === 1) resolve(null) })
  })
  if (socket.readyState === WebSocket.OPEN) asks ? socket.send(STEP_1) : socket.ping()
  let timer
  const silence = new Promise(resolve => { timer = setTimeout(resolve, 60_000, 'silence') })
  const code = await Promise.race([socket.gone, answered, silence])
  clearTimeout(timer)
  socket.removeAllListeners('pong')
  return code
}

const open = async room => {
  const socket = new WebSocket(`${url}/${encodeURIComponent(room)}?token=${encodeURIComponent(token)}`)
  socket.gone = new Promise(resolve => socket.on('close', resolve))
  // What is sent to a socket that the server has closed meanwhile may fail.
  socket.on('error', () => {})
  await once(socket, 'open')
  return socket
}

/** A good frame with some bytes changed, or bytes. */
const randomFrame = draw => {
  if (draw.once(10)) return Uint8Array.from({ length: draw(64) }, () => draw(256))
  const frame = Uint8Array.from(draw.of(GOOD_FRAMES))
  for (let changes = draw(4); changes > 0; changes--) {
    const at = draw(frame.length)
    frame[at] = draw.once(2) ? draw(256) : frame[at] ^ (1 << draw(8))
  }
  return draw.once(8) ? frame.subarray(0, draw(frame.length + 1)) : frame
}

const goodFrames = () => {
  const updates = []
  const doc = new Y.Doc()
  doc.clientID = 7
  doc.on('update', update => updates.push(update))
  doc.getText('t').insert(0, 'hello 😀')
  doc.getText('t').format(1, 3, { bold: true })
  doc.getText('t').delete(2, 4)
  doc.getMap('m').set('k', { a: [1, -0, 'x', null, 2n ** 40n] })
  doc.getMap('m').set('k', new Y.Text('inner'))
  doc.getArray('a').push([1, 2, new Y.Map([['b', new Uint8Array(3)]]), new Y.Doc()])
  doc.getXmlFragment('x').push([new Y.XmlElement('p')])
  updates.push(Y.encodeStateAsUpdate(doc))
  return [
    ...updates.flatMap(update => [frames.update(update), frames.step2(update)]),
    frames.step1(Y.encodeStateVector(doc)),
    frames.awareness(unhex('010705' + '027b7d')),
    unhex('03')
  ]
}

const GOOD_FRAMES = goodFrames()

await main()
