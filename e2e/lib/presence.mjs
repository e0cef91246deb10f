// Awareness messages that clients would not send, and those who send them.
import * as encoding from 'lib0/encoding'
import WebSocket from 'ws'
import { once } from 'node:events'
import { frames } from './frames.mjs'
import { jwt } from './server.mjs'
import { bytes, unhex } from './update.mjs'
import { eventually, sleep } from './wait.mjs'

/** A message that says of clients, each with its clock, what they show: JSON, as text. */
export const presence = (...said) => frames.awareness(bytes(e => {
  encoding.writeVarUint(e, said.length)
  for (const [client, clock, state] of said) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
    encoding.writeVarString(e, state)
  }
}))

/** A frame in which clients, so many at a time, come and are gone when the next come. */
export const comeAndGo = (ids, atOnce) => {
  const messages = []
  for (let from = 0; from < ids.length; from += atOnce) {
    for (const state of ['{}', 'null']) {
      messages.push(presence(...ids.slice(from, from + atOnce).map(id => [id, 1, state])))
    }
  }
  return Buffer.concat(messages)
}

/** A state of about so many bytes that JavaScript writes with four times as many. */
export const growing = bytes => `{"l":[${Array(Math.floor(bytes / 5)).fill('1e20').join()}]}`

/** Somebody who may only read, and says so of others. It is gone when the test is over. */
export const reader = async (t, server, room, user = 'mallory') => {
  const headers = { authorization: `Bearer ${jwt({ access: 'read' }, { user })}` }
  const socket = new WebSocket(`${server.url}/${room}`, { headers })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  socket.answers = 0
  socket.on('message', frame => { if (frame[0] === 0 && frame[1] === 1) socket.answers++ })
  return socket
}

/**
 * Waits until the server has taken all that a reader sent: it answers in order. What it
 * told others of that stands before whatever they are told next.
 */
export const heard = async socket => {
  const { answers } = socket
  socket.send(frames.step1(unhex('00')))
  await eventually('a reader is answered', () => socket.answers > answers)
}

/** Calls `say` with 1, 2, 3 and so on, so many times a second, for so long. */
export const steadily = async (perSecond, seconds, say) => {
  const start = Date.now()
  for (let said = 0; said < perSecond * seconds; await sleep(10)) {
    const due = Math.min((Date.now() - start) / 1_000, seconds) * perSecond
    while (said < due) say(++said)
  }
}
