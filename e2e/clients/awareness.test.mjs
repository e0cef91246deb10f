// Who is there, as real clients see it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, vanish } from '../lib/client.mjs'
import { presence, reader } from '../lib/presence.mjs'
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

test('a clock near the end of all numbers, said by somebody else, keeps nobody out', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  const mallory = await reader(t, server, 'doc')
  for (const clock of [Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
    mallory.send(presence([a.doc.clientID, clock, '{"name":"Eve"}']))
  }
  // Whoever goes on from such a clock is past it with the next change, or the next but one.
  for (let change = 0; change < 10; change++) {
    a.awareness.setLocalState({ name: 'Ada', change })
    await sleep(50)
  }
  a.doc.getText('t').insert(0, 'x')
  await eventually('b has the edit', () => b.doc.getText('t').length === 1)
  await eventually('b sees a', () => sees(b, a)?.change === 9)
  assert.deepEqual([...a.closes, ...b.closes], [])
})

test('who repeats a state in more words than it had is not closed for its size', async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  const mallory = await reader(t, server, 'doc')
  const state = `[${Array(12_000).fill('1e20').join()}]`
  assert.ok(state.length < 65_536 && JSON.stringify(JSON.parse(state)).length > 65_536)
  for (let clock = 1; clock <= 5; clock++) mallory.send(presence([7, clock, state]))
  await eventually('both see it', () => [a, b].every(client => client.awareness.getStates().has(7)))
  await sleep(500)
  assert.deepEqual([...a.closes, ...b.closes], [])
})

test('whoever repeats all that others say does not send too fast', async t => {
  const server = await startServer(t, {
    env: { INBOUND_MESSAGES_PER_SECOND: '100', INBOUND_MESSAGES_BURST: '200', SLOWED_MAX: '2s' }
  })
  const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
  // Three that say 60 things a second each, within their rates; 180 come back from each other.
  const crowd = await Promise.all([1, 2, 3].map(() => reader(t, server, 'doc')))
  for (let clock = 1; clock <= 400; clock++) {
    crowd.forEach((socket, i) => socket.send(presence([i + 1, clock, '{}'])))
    await sleep(16)
  }
  a.doc.getText('t').insert(0, 'x')
  await eventually('b has the edit', () => b.doc.getText('t').length === 1, 2_000)
  assert.deepEqual([...a.closes, ...b.closes], [])
})

test('a frame of thousands of states is told as one', async t => {
  const server = await startServer(t)
  const a = await connected(t, server, 'doc')
  const mallory = await reader(t, server, 'doc')
  let frames = 0
  a.provider.ws.on('message', () => frames++)
  const all = Array.from({ length: 4_000 }, (_, i) => Buffer.from(presence([7, i + 1, '{}'])))
  mallory.send(Buffer.concat(all))
  await eventually('a sees it', () => a.awareness.meta.get(7)?.clock === 4_000)
  assert.ok(frames < 10, `${frames} frames`)
})
