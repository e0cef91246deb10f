// Awareness messages that clients would not send.
import * as encoding from 'lib0/encoding'
import WebSocket from 'ws'
import { once } from 'node:events'
import { frames } from './frames.mjs'
import { jwt } from './server.mjs'
import { bytes } from './update.mjs'

/** A message that says of clients, each with its clock, what they show: JSON, as text. */
export const presence = (...said) => frames.awareness(bytes(e => {
  encoding.writeVarUint(e, said.length)
  for (const [client, clock, state] of said) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
    encoding.writeVarString(e, state)
  }
}))

/** Somebody who may only read, and says so of others. It is gone when the test is over. */
export const reader = async (t, server, room) => {
  const headers = { authorization: `Bearer ${jwt({ access: 'read' }, { user: 'mallory' })}` }
  const socket = new WebSocket(`${server.url}/${room}`, { headers })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  socket.on('message', () => {})
  return socket
}
