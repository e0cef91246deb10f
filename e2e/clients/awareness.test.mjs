// Who is there, as real clients see it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { connect, connected, synced, vanish } from '../lib/client.mjs'
import { comeAndGo, growing, heard, presence, reader, steadily } from '../lib/presence.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const sees = (client, other) => client.awareness.getStates().get(other.doc.clientID)

/** Clients of users of these names, each of which shows its own. */
const people = (t, server, names) => Promise.all(names.map(async user => {
  const client = await connected(t, server, 'doc', { user })
  client.awareness.setLocalState({ name: user })
  return client
}))

/**
 * Each client writes, and all have it. So they have also been told, and have said
 * again, what was told before. After the second time the server has heard that, too.
 */
const editsArrive = async clients => {
  for (let time = 0; time < 2; time++) {
    const before = clients[0].doc.getArray('edits').length
    for (const { doc } of clients) doc.getArray('edits').push([time])
    const all = before + clients.length
    await eventually('all have the edits of all', () => clients.every(({ doc }) => doc.getArray('edits').length === all))
  }
}

const assertNoneClosed = clients => assert.deepEqual(clients.flatMap(({ closes }) => closes), [])

/** Small limits, which are reached soon; they leave room for all that presence may come to. */
const SMALL = {
  DOCUMENT_BYTES_MAX: '512KiB',
  FRAME_BYTES_MAX: '1MiB',
  INBOUND_BYTES_PER_SECOND: '3MiB',
  INBOUND_BYTES_BURST: '3MiB',
  SLOWED_MAX: '2s'
}

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

test('a state that is too big once it is said again is not told', async t => {
  const server = await startServer(t)
  const clients = await people(t, server, ['ada', 'bob'])
  const mallory = await reader(t, server, 'doc')
  const state = growing(60_000)
  assert.ok(state.length < 65_536 && JSON.stringify(JSON.parse(state)).length > 65_536)
  for (let clock = 1; clock <= 5; clock++) mallory.send(presence([7, clock, state]))
  await heard(mallory)
  await editsArrive(clients)
  assertNoneClosed(clients)
  assert.ok(clients.every(({ awareness }) => !awareness.meta.has(7)))
})

test('a client that shows too much is not seen, and writes on', async t => {
  const server = await startServer(t)
  const [a, b] = await people(t, server, ['ada', 'bob'])
  a.awareness.setLocalState({ name: 'ada', selection: 'x'.repeat(100_000) })
  await editsArrive([a, b])
  a.awareness.setLocalState({ name: 'ada', selection: 'x' })
  await eventually('b sees a, which shows less', () => sees(b, a)?.selection === 'x')
  assertNoneClosed([a, b])
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

test('whoever shows thousands of clients, one after another, has nobody closed', async t => {
  const server = await startServer(t)
  const clients = await people(t, server, ['ada', 'bob', 'cyd'])
  const mallory = await reader(t, server, 'doc')
  for (let round = 1; round <= 3; round++) {
    const ids = Array.from({ length: 12_000 }, (_, i) => round * 100_000 + i)
    // Others still say again that the first are here when all of these have been forgotten.
    mallory.send(presence(...ids.slice(0, 64).map(id => [id, 1, '{}'])))
    mallory.send(comeAndGo(ids, 64))
    await heard(mallory)
    await editsArrive(clients)
  }
  assertNoneClosed(clients)
  // A page never forgets a client that it has heard of.
  const known = clients.map(({ awareness }) => awareness.meta.size)
  assert.ok(Math.max(...known) < 200, `clients know ${known} others`)
})

for (const [who, readers, state] of [
  ['two readers that show large states', 2, JSON.stringify({ s: 'x'.repeat(60_000) })],
  ['a reader whose states grow when they are said again', 1, growing(14_000)]
]) {
  test(`${who} fast slow nobody down`, async t => {
    const server = await startServer(t, { env: SMALL })
    const clients = await people(t, server, ['ada', 'bob'])
    const crowd = await Promise.all(Array.from({ length: readers }, () => reader(t, server, 'doc')))
    // What they send is within the rates; what all others would say again is not.
    const perSecond = 80 / readers
    assert.ok(state.length * perSecond < 3 * 2 ** 20)
    assert.ok(JSON.stringify(JSON.parse(state)).length * readers * perSecond > 4.5 * 2 ** 20)
    const ages = agesOfEdits(t, clients)
    await steadily(perSecond, 6, clock => crowd.forEach((socket, i) => socket.send(presence([i + 1, clock, state]))))
    const last = ({ awareness }) => crowd.every((_, i) => awareness.meta.get(i + 1)?.clock === 6 * perSecond)
    await eventually('all see what was shown last', () => clients.every(last))
    await editsArrive(clients)
    assertNoneClosed(clients)
    assert.ok(ages.length > 30 && Math.max(...ages) < 2_000, `${ages.length} edits, the oldest ${Math.max(...ages)} ms old`)
  })
}

/** Clients write the time again and again. Returns how old that was when others had it. */
const agesOfEdits = (t, clients) => {
  const ages = []
  for (const { doc } of clients) {
    const times = doc.getArray('times')
    times.observe(({ changes }, { local }) => {
      if (!local) changes.delta.forEach(({ insert }) => insert?.forEach(time => ages.push(Date.now() - time)))
    })
    const timer = setInterval(() => times.push([Date.now()]), 200)
    t.after(() => clearInterval(timer))
  }
  return ages
}

test('a room full of large presence keeps nobody out', async t => {
  const server = await startServer(t, { env: SMALL })
  const [before] = await people(t, server, ['ada'])
  const ids = await crowded(t, server, 32)
  let largest = 0
  class Measured extends WebSocket {
    send (frame) {
      largest = Math.max(largest, frame.length)
      super.send(frame)
    }
  }
  const late = connect(t, server, 'doc', { user: 'bob', WebSocketPolyfill: Measured })
  await eventually('the late joiner is synced', () => late.provider.synced)
  await eventually('the late joiner sees all', () => ids.every(id => late.awareness.getStates().has(id)))
  await editsArrive([before, late])
  assertNoneClosed([before, late])
  assert.ok(largest > 2 ** 16 && largest <= 2 ** 20, `the largest frame that it sent: ${largest} bytes`)
})

test('a user shows so much and no more, on however many connections', async t => {
  const server = await startServer(t, { env: SMALL })
  const [before] = await people(t, server, ['ada'])
  const ids = await crowded(t, server, 32, () => 'mallory')
  const [late] = await people(t, server, ['bob'])
  await eventually('they see each other', () => sees(before, late) && sees(late, before))
  const shown = ids.map(id => late.awareness.getStates().get(id)).filter(state => state)
  const bytes = JSON.stringify(shown).length
  assert.ok(bytes > 2 ** 19 && bytes <= 2 ** 20 + ids.length, `${shown.length} states of ${bytes} bytes`)
  await editsArrive([before, late])
  assertNoneClosed([before, late])
})

/** So many readers show as much as they may, which grows when it is said again. Returns the clients. */
const crowded = async (t, server, readers, user = i => `mallory${i}`) => {
  const ids = Array.from({ length: 2 * readers }, (_, i) => i + 1)
  for (let i = 0; i < readers; i++) {
    const socket = await reader(t, server, 'doc', user(i))
    // The last is too large when it is said again.
    const said = [[ids[2 * i], growing(14_000)], [ids[2 * i + 1], growing(14_000)], [1_000 + i, growing(60_000)]]
    for (const [id, state] of said) socket.send(presence([id, 1, state]))
    await heard(socket)
  }
  return ids
}

for (const user of ['ada', 'mallory']) {
  test(`states that are no objects mute nobody, said by ${user}`, async t => {
    const server = await startServer(t)
    const [a, b] = await people(t, server, ['ada', 'bob'])
    const other = await reader(t, server, 'doc', user)
    // To y-protocols whoever shows a falsy state has none, and cannot change it.
    for (const state of ['0', 'false', '""', '1', '"Eve"', '[]', '[{}]']) {
      other.send(presence([a.doc.clientID, clockOf(a) + 10, state]))
      await heard(other)
      await editsArrive([a, b])
      a.awareness.setLocalStateField('after', state)
      await eventually(`b sees a after ${state}`, () => sees(b, a)?.after === state && sees(b, a).name === 'ada', 2_000)
    }
    other.terminate()
    await editsArrive([a, b])
    assert.equal(sees(b, a)?.name, 'ada')
  })
}

const clockOf = client => client.awareness.meta.get(client.doc.clientID).clock

for (const [what, ...said] of [
  ['another state', [50, '{"name":"eve"}']],
  ['that it is gone', [0, 'null'], [50, 'null'], [51, '{"name":"ada"}'], [52, 'null']],
  ['the highest clock', [2 ** 32 - 1, '{"name":"ada"}']]
]) {
  test(`nobody says of somebody else who is here: ${what}`, async t => {
    const server = await startServer(t)
    const [a, b] = await people(t, server, ['ada', 'bob'])
    await eventually('b sees a', () => sees(b, a)?.name === 'ada')
    const wrong = whatElseIsSeen(b, a)
    const mallory = await reader(t, server, 'doc')
    const clock = clockOf(a)
    for (const [ahead, state] of said) {
      mallory.send(presence([a.doc.clientID, Math.min(clock + ahead, 2 ** 32 - 1), state]))
    }
    await heard(mallory)
    await editsArrive([a, b])
    assert.deepEqual(wrong, [])
    assert.equal(clockOf(a), clock, 'it has nothing to answer')
    a.awareness.setLocalStateField('cursor', 1)
    await eventually('b sees the change', () => sees(b, a)?.cursor === 1, 2_000)
    mallory.terminate()
    await editsArrive([a, b])
    a.awareness.setLocalStateField('cursor', 2)
    await eventually('b sees the next', () => sees(b, a)?.cursor === 2, 2_000)
    assert.deepEqual(wrong, [])
  })
}

test('who shares a browser with another user is seen', async t => {
  const server = await startServer(t)
  const watcher = await connected(t, server, 'doc', { user: 'watcher' })
  const inBrowser = { disableBc: false, connect: false }
  const [a, b] = ['ada', 'bob'].map(user => connect(t, server, 'doc', { user, ...inBrowser }))
  b.provider.connect()
  await synced(b)
  a.awareness.setLocalState({ name: 'ada' })
  // What a page shows goes to the others of the browser before it is connected itself.
  a.provider.connectBc()
  await eventually('the watcher hears of a from b', () => sees(watcher, a))
  a.provider.connect()
  await synced(a)
  for (let cursor = 0; cursor < 20; cursor++) {
    a.awareness.setLocalState({ name: 'ada', cursor })
    await eventually('the watcher sees the change', () => sees(watcher, a)?.cursor === cursor, 2_000)
  }
  b.provider.disconnect()
  await eventually('b is gone', () => !sees(watcher, b))
  a.awareness.setLocalState({ name: 'ada', alone: true })
  await eventually('the watcher sees a', () => sees(watcher, a)?.alone, 2_000)
})

/** What one client is shown of another, as it comes, that does not have the name of now. */
const whatElseIsSeen = (client, other) => {
  const { name } = sees(client, other)
  const wrong = []
  client.awareness.on('update', () => {
    const state = sees(client, other)
    if (state?.name !== name) wrong.push(state ?? 'gone')
  })
  return wrong
}

for (const [what, ...before] of [['first of all'], ['after another', 7]]) {
  test(`who comes back is seen, though somebody else has said it meanwhile, ${what}`, async t => {
    const server = await startServer(t)
    const [a, b] = await people(t, server, ['ada', 'bob'])
    await eventually('b sees a', () => sees(b, a)?.name === 'ada')
    a.provider.disconnect()
    await eventually('b sees it go', () => !sees(b, a))
    const mallory = await reader(t, server, 'doc')
    for (const id of [...before, a.doc.clientID]) mallory.send(presence([id, clockOf(a) + 10, '{"name":"eve"}']))
    await heard(mallory)
    a.provider.connect()
    await eventually('a is back', () => a.provider.synced)
    a.awareness.setLocalState({ name: 'ada', back: true })
    // The first may come before it hears of the other's clock.
    await editsArrive([a, b])
    a.awareness.setLocalState({ name: 'ada', back: true })
    await eventually('b sees a', () => sees(b, a)?.back, 2_000)
  })
}

test('who says of everybody that they are gone gets no answers', async t => {
  const CLIENTS = 12
  const FRAMES = 20
  const server = await startServer(t)
  const clients = await people(t, server, Array.from({ length: CLIENTS }, (_, i) => `user ${i}`))
  await eventually('all see all', () => clients.every(client => clients.every(other => sees(client, other)?.name)))
  await editsArrive(clients)
  const mallory = await reader(t, server, 'doc')
  const before = await server.metrics()
  await steadily(10, FRAMES / 10, time => {
    const say = state => presence(...clients.map(({ doc }) => [doc.clientID, 1_000 + 100 * time, state]))
    mallory.send(Buffer.concat([say('{}'), say('null')]))
  })
  await heard(mallory)
  await sleep(500)
  const after = await server.metrics()
  // Each answer would be said again by all others: more than 2,000 messages. Of its own
  // accord a client says again what it shows, every 15 seconds.
  const received = after.messages_received - before.messages_received
  assert.ok(received <= 2 * FRAMES + 1 + 3 * CLIENTS, `${received} messages`)
  assertNoneClosed(clients)
})

test('a page that connects anew while its old connection still stands is seen at once', async t => {
  const server = await startServer(t)
  const [a, b] = await people(t, server, ['ada', 'bob'])
  await eventually('b sees a', () => sees(b, a))
  const old = loseSight(a)
  await eventually('a is back', () => a.provider.ws !== old && a.provider.synced)
  a.awareness.setLocalStateField('cursor', 1)
  await eventually('b sees a again', () => sees(b, a)?.cursor === 1, 2_000)
  assert.equal(old.readyState, WebSocket.OPEN)
  old.terminate()
  await editsArrive([a, b])
  await eventually('b still sees a', () => sees(b, a)?.cursor === 1, 2_000)
})

/** The network of a client is gone and another is there: it alone takes its connection for lost. */
const loseSight = ({ provider }) => {
  const { ws } = provider
  const { onclose } = ws
  ws.close = () => {}
  onclose({ code: 1006 })
  return ws
}
