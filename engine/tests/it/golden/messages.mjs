// State vectors, awareness updates and y-websocket messages.
import { Y, awareness, encoding } from '../../../../e2e/lib/yjs.mjs'
import { bytes, hex, stateVector, update } from '../../../../e2e/lib/update.mjs'

export const goldenMessages = () => ({
  state_vectors: stateVectors(),
  awareness: awarenessUpdates(),
  messages: messages()
})

const stateVectors = () => [
  ['empty', []],
  ['one client', [[1, 5]]],
  ['largest numbers', [[2 ** 53 - 1, 2 ** 31 - 1], [2 ** 32 - 1, 1]]],
  ['many clients', Array.from({ length: 100 }, (_, i) => [1000 - i, i + 1])]
].map(([name, entries]) => ({ name, hex: hex(stateVector(entries)), entries }))

const awarenessUpdates = () => [
  ['empty', []],
  ['one state', [[1, 1, { user: { name: 'Ada', color: '#30bced' }, cursor: null }]]],
  ['removed', [[1, 2, null]]],
  ['empty state', [[1, 0, {}]]],
  ['several', [[2 ** 32 - 1, 7, { a: '😀' }], [5, 300, null], [4, 2 ** 31, { list: [1, 2.5, 'x'] }]]],
  ['the same client twice', [[1, 1, { v: 1 }], [1, 2, { v: 2 }]]]
].map(([name, entries]) => ({
  name,
  hex: hex(awarenessUpdate(entries)),
  entries: entries.map(([client, clock, state]) => ({ client, clock, state: JSON.stringify(state) }))
}))

const awarenessUpdate = entries => bytes(e => {
  encoding.writeVarUint(e, entries.length)
  for (const [client, clock, state] of entries) {
    encoding.writeVarUint(e, client)
    encoding.writeVarUint(e, clock)
    encoding.writeVarString(e, JSON.stringify(state))
  }
})

/** Each with the payload that it carries. */
const messages = () => {
  const doc = Object.assign(new Y.Doc(), { clientID: 1 })
  doc.getText('t').insert(0, 'hi')
  const presence = new awareness.Awareness(doc)
  presence.setLocalState({ name: 'Ada' })
  const state = awareness.encodeAwarenessUpdate(presence, [1])
  presence.destroy()
  const sync = (type, payload) => bytes(e => {
    encoding.writeVarUint(e, 0)
    encoding.writeVarUint(e, type)
    encoding.writeVarUint8Array(e, payload)
  })
  const plain = (type, payload) => bytes(e => {
    encoding.writeVarUint(e, type)
    if (payload) encoding.writeVarUint8Array(e, payload)
  })
  const denied = bytes(e => {
    encoding.writeVarUint(e, 2)
    encoding.writeVarUint(e, 0)
    encoding.writeVarString(e, 'no')
  })
  const step1 = sync(0, Y.encodeStateVector(doc))
  const query = plain(3)
  return [
    { name: 'SyncStep1', kind: 'sync_step_1', payload: Y.encodeStateVector(doc), frame: step1 },
    { name: 'SyncStep2', kind: 'sync_step_2', payload: Y.encodeStateAsUpdate(doc), frame: sync(1, Y.encodeStateAsUpdate(doc)) },
    { name: 'SyncStep2, empty', kind: 'sync_step_2', payload: update([]), frame: sync(1, update([])) },
    { name: 'update', kind: 'update', payload: Y.encodeStateAsUpdate(doc), frame: sync(2, Y.encodeStateAsUpdate(doc)) },
    { name: 'awareness', kind: 'awareness', payload: state, frame: plain(1, state) },
    { name: 'awareness, empty', kind: 'awareness', payload: new Uint8Array([0]), frame: plain(1, new Uint8Array([0])) },
    { name: 'permission denied', kind: 'auth', payload: new TextEncoder().encode('no'), frame: denied },
    { name: 'query awareness', kind: 'query_awareness', payload: new Uint8Array(), frame: query }
  ].map(({ payload, frame, ...rest }) => ({ ...rest, payload: hex(payload), frame: hex(frame) }))
}
