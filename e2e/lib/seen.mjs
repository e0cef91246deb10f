// What clients have been shown of what others wrote: what a server must never
// lose, even with all of them gone.
import * as decoding from 'lib0/decoding'
import * as Y from 'yjs'
import { lacks } from './contain.mjs'

const SYNC = 0
const SYNC_STEP_1 = 0

/** The record of one document, written by all who watch it. */
export class Seen {
  /** How many updates came from others. */
  updates = 0
  #doc = new Y.Doc()
  /** The clocks that the server said it had. */
  #told = new Map()

  /** Notes from now on what a client is shown; call it before it connects. */
  watch (client) {
    client.doc.on('update', (update, origin) => {
      if (origin !== client.provider) return
      Y.applyUpdate(this.#doc, update)
      this.updates++
    })
    const handlers = client.provider.messageHandlers
    const handle = handlers[SYNC]
    handlers[SYNC] = (encoder, decoder, ...rest) => {
      this.#note(decoding.clone(decoder))
      handle(encoder, decoder, ...rest)
    }
    return client
  }

  /** What of it is not in a document, in words; null if all is there. */
  missingFrom (doc) {
    const known = Y.decodeStateVector(Y.encodeStateVector(doc))
    for (const [client, clock] of this.#told) {
      if ((known.get(client) ?? 0) < clock) return `the server had said that it knew ${client} up to ${clock}, not ${known.get(client) ?? 0}`
    }
    return lacks(doc, this.#doc)
  }

  #note (message) {
    if (decoding.readVarUint(message) !== SYNC_STEP_1) return
    for (const [client, clock] of Y.decodeStateVector(decoding.readVarUint8Array(message))) {
      this.#told.set(client, Math.max(clock, this.#told.get(client) ?? 0))
    }
  }
}
