// Who is here, as others say it of themselves: nothing of that is believed to
// be more than a name and a place in the text.
import * as Y from 'yjs'

const NAME_LENGTH_MAX = 40

/**
 * The colour of a client, the same for everybody who sees it. Of another name it
 * is another one by a hair, since a cursor is drawn anew for a new colour only.
 */
const color = (client, name, alpha = 1) => {
  const hue = (client * 137.508) % 360
  const hair = [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 1_000, 7) / 1e6
  return `oklch(0.54 ${(0.15 + hair).toFixed(6)} ${hue.toFixed(1)} / ${alpha})`
}

const nameOf = state => {
  const name = state?.user?.name
  const text = typeof name === 'string' ? name.trim().slice(0, NAME_LENGTH_MAX) : ''
  return text || 'Somebody'
}

/** Everybody in a document, ourselves first. */
export const people = ({ awareness, doc }) =>
  [...awareness.getStates()]
    .map(([client, state]) => ({ client, name: nameOf(state), isMe: client === doc.clientID }))
    .sort((a, b) => b.isMe - a.isMe || a.name.localeCompare(b.name) || a.client - b.client)
    .map(person => ({ ...person, color: color(person.client, person.name) }))

/** The awareness of a document as y-codemirror.next reads it, with states that are safe to draw. */
export class Cursors {
  constructor ({ awareness, doc }) {
    this.awareness = awareness
    this.doc = doc
  }

  getStates () {
    return new Map([...this.awareness.getStates()].map(([client, state]) => {
      const name = nameOf(state)
      const user = { name, color: color(client, name), colorLight: color(client, name, 0.25) }
      return [client, { user, cursor: this.#isPlace(state?.cursor) ? state.cursor : null }]
    }))
  }

  getLocalState () {
    return this.awareness.getLocalState()
  }

  setLocalStateField (field, value) {
    this.awareness.setLocalStateField(field, value)
  }

  on (name, listener) {
    this.awareness.on(name, listener)
  }

  off (name, listener) {
    this.awareness.off(name, listener)
  }

  #isPlace (cursor) {
    try {
      return [cursor.anchor, cursor.head].every(place => Y.createAbsolutePositionFromRelativePosition(place, this.doc))
    } catch {
      return false
    }
  }
}
