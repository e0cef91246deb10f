// Real clients: yjs with y-websocket, over the npm package ws.
import { once } from 'node:events'
import { WebsocketProvider } from 'y-websocket'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { token } from './server.mjs'
import { eventually } from './wait.mjs'

// Each y-websocket client listens for the end of the process.
process.setMaxListeners(0)

/**
 * Connects a y-websocket client that is closed when the test ends.
 * @param {import('node:test').TestContext} t
 * @param {{url: string, shows?: object}} server where it is, and what clients of it give y-websocket
 * @param {string} room the document's id, encoded as an application would
 * @param {object} [options] `doc`, `user`, `connect`, and what y-websocket takes
 */
export const connect = (t, server, room, { doc = new Y.Doc(), user = 'tester', ...options } = {}) => {
  const provider = new WebsocketProvider(server.url, room, doc, {
    params: { token: token(user) },
    WebSocketPolyfill: WebSocket,
    disableBc: true,
    ...server.shows,
    ...options
  })
  const client = { doc, provider, awareness: provider.awareness, closes: [] }
  provider.on('connection-close', event => client.closes.push(event?.code ?? 'local'))
  t.after(() => {
    provider.awareness.destroy()
    provider.destroy()
    doc.destroy()
  })
  return client
}

/** As [connect], and waits until the document has come. */
export const connected = async (t, server, room, options) => {
  const client = connect(t, server, room, options)
  await synced(client)
  return client
}

export const synced = client => eventually('the client is synced', () => client.provider.synced)

/** Waits until all clients hold the same document, and nothing waits in one. */
export const converged = (clients, timeoutMs) => eventually('all clients hold the same document', () => {
  const docs = clients.map(({ doc }) => doc)
  return docs.every(({ store }) => store.pendingStructs === null && store.pendingDs === null) &&
    allEqual(docs.map(doc => hex(Y.encodeStateVector(doc)))) && allEqual(docs.map(collected))
}, timeoutMs)

const allEqual = ([first, ...others]) => others.every(other => other === first)

/**
 * The document as one would load it. Documents of clients that can undo, or
 * collect no garbage, still hold what others have dropped.
 */
const collected = doc => {
  const loaded = new Y.Doc()
  Y.applyUpdate(loaded, Y.encodeStateAsUpdate(doc))
  return hex(Y.encodeStateAsUpdate(loaded))
}

const hex = bytes => Buffer.from(bytes).toString('hex')

/** The connection is torn, as by a crash: no close frame, no goodbye. */
export const vanish = client => {
  client.provider.shouldConnect = false
  client.provider.ws._socket.destroy()
}

/**
 * Ends clients for good, once they have read all that the server has sent:
 * their documents never come back.
 */
export const gone = async clients => {
  for (const { provider } of clients) provider.shouldConnect = false
  await eventually('all connections are closed', () => clients.every(({ provider }) => !provider.ws))
  for (const { awareness, provider, doc } of clients) {
    awareness.destroy()
    provider.destroy()
    doc.destroy()
  }
}

/** A bare WebSocket on a document, for what no real client sends. */
export const rawSocket = async (t, server, room, { query = `?token=${encodeURIComponent(token())}`, ...options } = {}) => {
  const socket = new WebSocket(`${server.url}/${room}${query}`, options)
  socket.frames = []
  socket.closed = new Promise(resolve => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })))
  socket.on('message', frame => socket.frames.push(frame))
  // What is sent to a socket that the server has closed meanwhile may fail.
  socket.on('error', () => {})
  t.after(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

/** The HTTP status with which an upgrade is refused. */
export const refusal = (url, options = {}) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, options)
  socket.on('unexpected-response', (request, response) => {
    response.resume()
    request.destroy()
    resolve({ status: response.statusCode, headers: response.headers })
  })
  socket.on('open', () => {
    socket.terminate()
    reject(new Error(`${url} was accepted`))
  })
  socket.on('error', reject)
})
