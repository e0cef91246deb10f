// One document, and its connection.
import { peekVarUint } from 'lib0/decoding'
import { readAuthMessage } from 'y-protocols/auth'
import { messageYjsSyncStep1 } from 'y-protocols/sync'
import { WebsocketProvider, messageAuth, messageSync } from 'y-websocket'
import * as Y from 'yjs'
import { askAccess } from './access.js'

const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5_000

/**
 * Tells of every change with an event 'change'.
 *
 * `state` is one of
 * - connecting: we have not heard of the server yet
 * - connected: all is with the server that is here, and the other way round
 * - offline: it cannot be reached; edits are kept here meanwhile
 * - refused: it does not take our token, or wants one; `reason` says why
 */
export class Session extends EventTarget {
  state = 'connecting'
  reason = ''
  readOnly = false
  /** Something was typed here that the server has not got. */
  unsent = false
  /** Why the server takes no edits although we are connected, or null. */
  notTaken = null
  #attempts = 0
  #retry = 0
  #isOver = false

  constructor (name) {
    super()
    this.name = name
    this.doc = new Y.Doc()
    this.text = this.doc.getText('text')
    this.provider = new WebsocketProvider(serverUrl(), encodeURIComponent(name), this.doc, {
      connect: false,
      // What another tab has may be more than our token allows, and would
      // show a server that is away as one that works.
      disableBc: true,
      // We ask for the reason first.
      shouldReconnect: () => false
    })
    this.#listen()
    addEventListener('online', this.#again)
    this.connect()
  }

  get awareness () {
    return this.provider.awareness
  }

  /** Connects with the token of now, which may be another than before. */
  async connect () {
    clearTimeout(this.#retry)
    const access = await askAccess(this.name)
    if (this.#isOver || this.provider.wsconnected) return
    if ('refused' in access) return this.#show('refused', access.refused)
    if ('unreachable' in access) return this.#later()
    this.readOnly = access.readOnly
    this.provider.params = { token: access.token }
    this.provider.connect()
    this.#changed()
  }

  close () {
    this.#isOver = true
    clearTimeout(this.#retry)
    removeEventListener('online', this.#again)
    this.provider.destroy()
    this.doc.destroy()
  }

  #again = () => {
    if (this.state === 'offline') this.connect()
  }

  #listen () {
    const { provider, doc } = this
    provider.on('sync', isSynced => {
      if (!isSynced) return
      this.#attempts = 0
      this.unsent = false
      // Others took us for gone, and what they know already would not bring us back.
      this.awareness.setLocalState(this.awareness.getLocalState())
      this.#show('connected')
    })
    provider.on('status', ({ status }) => {
      if (status === 'disconnected' && !this.#isOver) this.#show('offline')
    })
    provider.on('closed', () => this.#later())
    doc.on('update', (_, origin) => {
      if (origin === provider || (provider.synced && this.notTaken === null)) return
      this.unsent = true
      this.#changed()
    })
    provider.messageHandlers[messageAuth] = (_, decoder) => readAuthMessage(decoder, doc, (_, reason) => {
      this.notTaken = reason
      this.unsent = true
      this.#changed()
    })
    const sync = provider.messageHandlers[messageSync]
    provider.messageHandlers[messageSync] = (encoder, decoder, ...rest) => {
      // With this the server asks for all that it has not got.
      if (peekVarUint(decoder) === messageYjsSyncStep1 && this.notTaken !== null) {
        this.notTaken = null
        this.unsent = false
        this.#changed()
      }
      sync(encoder, decoder, ...rest)
    }
  }

  #later () {
    if (this.#isOver) return
    this.#show('offline')
    const ms = Math.min(RETRY_MIN_MS * 2 ** this.#attempts++, RETRY_MAX_MS)
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.connect(), ms * (0.5 + Math.random() / 2))
  }

  #show (state, reason = '') {
    this.state = state
    this.reason = reason
    if (state !== 'connected') this.notTaken = null
    this.#changed()
  }

  #changed () {
    if (!this.#isOver) this.dispatchEvent(new Event('change'))
  }
}

const serverUrl = () => {
  const url = new URL('sync/v1', document.baseURI)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  url.hash = url.search = ''
  return url.href
}
