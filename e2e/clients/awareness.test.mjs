// Who is there, as real clients see it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, vanish } from '../lib/client.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const sees = (client, other) => client.awareness.getStates().get(other.doc.clientID)

test('a state that one client sets is seen by the others, and by late joiners', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  a.awareness.setLocalState({ name: 'Ada', cursor: { at: 3 } })
  await eventually('b sees a', () => sees(b, a)?.name === 'Ada')
  a.awareness.setLocalStateField('cursor', null)
  await eventually('b sees the change', () => sees(b, a)?.cursor === null)
  const late = await connected(t, server, 'doc')
  await eventually('the late joiner sees a', () => sees(late, a)?.name === 'Ada')
})

test('states stay within their document', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'one'), connected(t, server, 'two')])
  a.awareness.setLocalState({ name: 'Ada' })
  await sleep(300)
  assert.equal(sees(b, a), undefined)
})

test('a client that leaves politely is gone at once', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  a.awareness.setLocalState({ name: 'Ada' })
  await eventually('b sees a', () => sees(b, a))
  a.provider.disconnect()
  await eventually('b sees it go', () => !sees(b, a), 2_000)
})

test('a client that vanishes is gone at once', async t => {
  const server = await startServer(t)
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(() => connected(t, server, 'doc')))
  for (const client of [a, b, c]) client.awareness.setLocalState({ here: true })
  await eventually('b and c see a', () => sees(b, a) && sees(c, a) && sees(b, c))
  vanish(a)
  await eventually('b and c see it go', () => !sees(b, a) && !sees(c, a), 2_000)
  assert.ok(sees(b, c), 'the others stay')
  const late = await connected(t, server, 'doc')
  await eventually('a late joiner sees who is left', () => sees(late, b) && sees(late, c))
  assert.equal(sees(late, a), undefined)
})

test('a client that comes back is seen again', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  a.awareness.setLocalState({ name: 'Ada' })
  await eventually('b sees a', () => sees(b, a))
  for (let round = 0; round < 3; round++) {
    a.provider.ws._socket.destroy()
    await eventually('b sees it go', () => !sees(b, a))
    await eventually('b sees it again', () => sees(b, a)?.name === 'Ada')
  }
})

test('a state set to null is removed everywhere', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  a.awareness.setLocalState({ name: 'Ada' })
  b.awareness.setLocalState({ name: 'Bob' })
  await eventually('b sees a', () => sees(b, a))
  a.awareness.setLocalState(null)
  await eventually('b sees it go', () => !sees(b, a))
  const late = await connected(t, server, 'doc')
  await eventually('the late joiner sees b', () => sees(late, b))
  assert.equal(sees(late, a), undefined)
})
