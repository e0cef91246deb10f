// Random histories: several people write into one document, out of step.
import * as Y from 'yjs'
import { emptyDoc, root, ROOTS } from './content.mjs'
import { edit } from './edits.mjs'
import { randomOf } from '../lib/random.mjs'

/** The origin of updates that came from elsewhere. */
export const REMOTE = 'remote'

/**
 * A history.
 * @typedef {object} History
 * @property {number} seed
 * @property {ReturnType<typeof randomOf>} random goes on where the history ended
 * @property {Y.Doc[]} docs the writers' documents at the end, not all in step
 * @property {Uint8Array[]} log every update that was written, in order
 * @property {boolean} cutsPairs whether surrogate pairs were cut
 * @property {Uint8Array[]} states what some writers held at some moments
 */

/** @returns {History} */
export const historyOf = seed => {
  const random = randomOf(seed)
  const writers = newWriters(random)
  const style = { cutsPairs: random.once(4) }
  const log = []
  const states = []
  for (const writer of writers) {
    // Yjs also writes on its own: it cleans up formats that came from others.
    writer.doc.on('update', (update, origin) => {
      if (origin === REMOTE) return
      log.push(update)
      for (const other of writers) if (other !== writer) other.inbox.push(update)
    })
  }
  const steps = 30 + random(170)
  for (let step = 0; step < steps; step++) {
    const writer = random.of(writers)
    write(random, writer, style)
    listen(random, writer, writers)
    if (random.once(12)) states.push(Y.encodeStateAsUpdate(random.of(writers).doc))
  }
  return { seed, random, docs: writers.map(({ doc }) => doc), log, states, ...style }
}

const newWriters = random => {
  const ids = new Set()
  while (ids.size < 2 + random(4)) ids.add(random.once(3) ? 1 + random(300) : random(2 ** 32 - 1))
  return [...ids].map(id => {
    const doc = emptyDoc({ gc: !random.once(4) })
    doc.clientID = id
    const undo = random.once(2)
      ? new Y.UndoManager(Object.keys(ROOTS).map(name => root(doc, name)), { captureTimeout: 0, doc })
      : null
    return { doc, undo, inbox: [], isPatient: random.once(3) }
  })
}

const write = (random, { doc, undo }, style) => {
  if (undo && random.once(6)) random.once(3) ? undo.redo() : undo.undo()
  else if (random.once(4)) doc.transact(() => { for (let i = 0; i <= random(5); i++) edit(random, doc, style) })
  else edit(random, doc, style)
}

/** Takes in some of what others wrote: in order, out of order, or by state. */
const listen = (random, writer, writers) => {
  const { doc, inbox, isPatient } = writer
  if (isPatient && !random.once(8)) return
  switch (random(6)) {
    case 0: break
    case 1: {
      const peer = random.of(writers)
      if (peer !== writer) Y.applyUpdate(doc, Y.encodeStateAsUpdate(peer.doc, Y.encodeStateVector(doc)), REMOTE)
      break
    }
    case 2:
      for (let i = random(4); i > 0 && inbox.length > 0; i--) {
        Y.applyUpdate(doc, inbox.splice(random(inbox.length), 1)[0], REMOTE)
      }
      break
    default: for (const update of inbox.splice(0, 1 + random(8))) Y.applyUpdate(doc, update, REMOTE)
  }
}
