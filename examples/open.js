// Opens a document with tokens that expire: what the page and the script share.
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const RETRY_MS = 5_000

/**
 * Opens a document, and keeps it open for as long as `askToken` gives tokens.
 * @param {string} name the document
 * @param {(name: string) => Promise<{ url: string, token: string, seconds: number }>} askToken asks the application
 * @param {object} [options] for the provider
 */
export const open = async (name, askToken, options = {}) => {
  const doc = new Y.Doc()
  const { url, token, seconds } = await askToken(name)
  // The name is a part of a path.
  const provider = new WebsocketProvider(url, encodeURIComponent(name), doc, { params: { token }, ...options })
  let timer
  let isClosed = false
  let isShut = false
  let askedAt = Date.now()

  // Before it expires, so that whoever has to connect anew always has a good one.
  const renewIn = ms => { timer = setTimeout(renew, ms) }
  const renew = async () => {
    clearTimeout(timer)
    askedAt = Date.now()
    const answer = await askToken(name).catch(() => null)
    if (isClosed) return
    if (answer) {
      provider.params.token = answer.token
      if (isShut) provider.connect()
      isShut = false
    }
    renewIn(answer ? answer.seconds * 600 : RETRY_MS)
  }
  renewIn(seconds * 600)
  // ysyncd closes with 4401 when the token of a connection expires or is not taken; y-websocket then
  // waits for us. After 4403 or 4400 no other token would help: this says why to whoever listens.
  provider.on('closed', ({ code }) => {
    isShut = true
    clearTimeout(timer)
    // Not again and again, if no token is taken that the application mints.
    if (code === 4401) renewIn(Math.max(0, askedAt + RETRY_MS - Date.now()))
  })

  // Others take a state for news only with a higher clock than they knew: without this nobody sees
  // who comes back after a pause until the next heartbeat, up to 15 s later.
  provider.on('sync', isSynced => {
    const state = provider.awareness.getLocalState()
    if (isSynced && state) provider.awareness.setLocalState(state)
  })

  const close = () => {
    isClosed = true
    clearTimeout(timer)
    provider.destroy()
    doc.destroy()
  }
  return { doc, provider, close }
}
