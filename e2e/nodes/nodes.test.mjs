// Two servers with one bucket and a Redis between them, behind a Caddy, and
// people on both.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCaddy } from '../lib/caddy.mjs'
import { connect, connected, converged, gone, synced } from '../lib/client.mjs'
import { lacks, load } from '../lib/contain.mjs'
import { freePort } from '../lib/port.mjs'
import { heard, presence, reader } from '../lib/presence.mjs'
import { freshRandom, randomOf } from '../lib/random.mjs'
import { startRedis } from '../lib/redis.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { Seen } from '../lib/seen.mjs'
import { launch, startServer, temporaryFolder, token } from '../lib/server.mjs'
import { typing } from '../lib/typing.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const DOCUMENTS = ['one', 'two', 'three']

const ADMIN_TOKEN = 'an-admin-token-of-the-tests'

/** Edits of which the way from node to node is timed. */
const TIMED = 300

/** What nodes have missed is found within some seconds. */
const HEAL_MS = 30_000

/** Something hangs. */
const TIMEOUT_MS = 180_000

/** Two servers with one bucket that know each other; ended by the test. */
const startNodes = async (t, redis, env = {}) => {
  const { nodes, shelf } = await startApart(t, { REDIS_URL: redis.url, ...env })
  await Promise.all(nodes.map(node => busIs(node, 'up')))
  return { nodes, shelf }
}

/** Two servers with one bucket. */
const startApart = async (t, env) => {
  const shelf = new Shelf()
  const nodes = []
  for (const name of ['a', 'b']) {
    const options = { dataDir: await temporaryFolder(t), port: await freePort(), env: { ...shelf.env(), ...(env.REDIS_URL && { NODE_NAME: name }), ...env } }
    nodes.push(new Node(options))
  }
  for (const node of nodes) {
    t.after(() => node.server?.stop('SIGKILL'))
    await node.start()
  }
  return { nodes, shelf }
}

/** A server that comes back to where it was. */
class Node {
  constructor (options) {
    this.options = options
    this.port = options.port
  }

  get url () {
    return `ws://127.0.0.1:${this.port}/sync/v1`
  }

  get http () {
    return `http://127.0.0.1:${this.port}`
  }

  async start () {
    this.server = launch(this.options)
    await this.server.ready()
  }

  async kill () {
    await this.server.stop('SIGKILL')
  }
}

const busIs = (node, state) => eventually(`the bus is ${state}`, async () =>
  (await (await fetch(`${node.http}/healthz`)).json()).bus === state, 20_000, 50)

const behind = caddy => ({ WebSocketPolyfill: caddy.socket(), params: { token: token() } })

/** Two people at each node, and two who come through Caddy. */
const peopleOf = (t, nodes, caddy, id, seen) => [
  ...nodes.flatMap(node => [connect(t, node, id), connect(t, node, id)]),
  connect(t, caddy, id, behind(caddy)),
  connect(t, caddy, id, behind(caddy))
].map(client => seen.watch(client))

test('two nodes under churn converge, and nothing is lost that anybody has seen', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const random = freshRandom(t)
  const redis = await startRedis(t)
  const { nodes, shelf } = await startNodes(t, redis, { SAVE_DEBOUNCE: '500ms', SAVE_MAX_WAIT: '2s' })
  const caddy = await startCaddy(t, nodes)
  const records = new Map(DOCUMENTS.map(id => [id, new Seen()]))
  const people = DOCUMENTS.map(id => peopleOf(t, nodes, caddy, id, records.get(id)))
  await Promise.all(people.flat().map(synced))
  const stops = people.flat().map(client => typing(t, client, randomOf(random(1e9)), { everyMs: 60 }))
  const visits = visiting(t, nodes, records, random)

  const [a, b] = nodes
  const troubles = [
    ['node a is killed', async () => { await a.kill(); await sleep(random(1_500)); await a.start() }],
    ['Redis is restarted', () => redis.restart(random(2_000))],
    ['Caddy is reloaded', () => caddy.reload()],
    ['node b is killed while Redis is away', async () => {
      await redis.stop()
      await sleep(random(1_000))
      await b.kill()
      await b.start()
      await redis.start()
    }],
    ['node a is killed', async () => { await a.kill(); await a.start() }],
    ['Redis is restarted', () => redis.restart()]
  ]
  for (const [what, trouble] of [...troubles, ...random.shuffled(troubles)]) {
    const before = sum(records)
    await trouble()
    t.diagnostic(what)
    await sleep(500 + random(1_500))
    await eventually('people see each other\'s edits', () => sum(records) > before + 50, HEAL_MS)
  }

  await visits.stop()
  for (const stop of stops) stop()
  await Promise.all(nodes.map(node => busIs(node, 'up')))
  const start = Date.now()
  await Promise.all(people.flat().map(client => eventually('everybody is back', () => client.provider.synced, HEAL_MS)))
  for (const clients of people) await converged(clients, HEAL_MS)
  t.diagnostic(`converged ${Date.now() - start} ms after the last edit, ${sum(records)} updates seen, ${visits.count} visitors gone`)
  await allIsThere(t, nodes, people, records)
  await eventually('the bucket holds it all', async () => {
    for (const [at, id] of DOCUMENTS.entries()) {
      if (lacks(load(await shelf.read(id)), people[at][0].doc)) return false
    }
    return true
  }, HEAL_MS, 200)
  await tellBus(t, nodes)
})

/** People who come to a node, write, and go for good with all they know. */
const visiting = (t, nodes, records, random) => {
  let goes = true
  const visits = { count: 0 }
  const loop = (async () => {
    while (goes) {
      const [id, seen] = random.of([...records])
      const client = seen.watch(connect(t, random.of(nodes), id))
      const stop = typing(t, client, randomOf(random(1e9)), { everyMs: 30 })
      await sleep(300 + random(1_200))
      stop()
      client.provider.disconnect()
      await gone([client])
      visits.count++
    }
  })()
  visits.stop = async () => {
    goes = false
    await loop
  }
  return visits
}

/** Whoever comes last is shown all that anybody has ever seen, at either node. */
const allIsThere = async (t, nodes, people, records) => {
  for (const [at, [id, seen]] of [...records].entries()) {
    for (const node of nodes) {
      const fresh = await connected(t, node, id)
      await converged([fresh, ...people[at]], HEAL_MS)
      assert.equal(seen.missingFrom(fresh.doc), null, id)
    }
  }
}

const tellBus = async (t, nodes) => {
  for (const node of nodes) {
    const metrics = await node.server.metrics()
    const told = Object.entries(metrics).filter(([name]) => name.startsWith('bus_') || name.startsWith('snapshots_'))
    t.diagnostic(JSON.stringify(Object.fromEntries(told)))
    assert.equal(metrics.bus_up, 1)
    assert.equal(metrics.bus_messages_refused, 0)
  }
}

const sum = records => [...records.values()].reduce((all, seen) => all + seen.updates, 0)

test('an edit reaches people at another node as fast as at the same', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const redis = await startRedis(t)
  const { nodes: [a, b] } = await startNodes(t, redis, { ADMIN_TOKEN })
  const [alice, neighbour, bob] = [await connected(t, a, 'd'), await connected(t, a, 'd'), await connected(t, b, 'd')]
  const arrivals = client => {
    const times = []
    client.doc.on('update', (update, origin) => { if (origin === client.provider) times.push(performance.now()) })
    return times
  }
  const [atNeighbour, atBob] = [arrivals(neighbour), arrivals(bob)]
  const sent = []
  for (let i = 0; i < TIMED; i++) {
    sent.push(performance.now())
    alice.doc.getText('t').insert(0, 'a')
    await eventually('it has come', () => atBob.length > i && atNeighbour.length > i, 10_000, 1)
    await sleep(5)
  }
  const took = times => times.map((time, i) => time - sent[i]).sort((x, y) => x - y)
  const [same, other] = [took(atNeighbour), took(atBob)]
  t.diagnostic(`to the same node:  p50 ${ms(same, 0.5)} ms, p99 ${ms(same, 0.99)} ms`)
  t.diagnostic(`to the other node: p50 ${ms(other, 0.5)} ms, p99 ${ms(other, 0.99)} ms`)
  // By way of the store it would take seconds.
  assert.ok(other[Math.floor(TIMED / 2)] < 500, 'an edit takes its time')
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
  const facts = await (await fetch(`${b.http}/inspector/facts`, { headers })).json()
  assert.equal(facts.bus, 'up')
  assert.ok(facts.bus_updates >= TIMED, 'the inspector tells of them')
})

const ms = (sorted, part) => sorted[Math.floor(sorted.length * part)].toFixed(1)

test('cursors are seen at the other node, and go with whoever goes', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const redis = await startRedis(t)
  const { nodes: [a, b] } = await startNodes(t, redis)
  const [alice, bob] = [await connected(t, a, 'd'), await connected(t, b, 'd')]
  const sees = (client, other) => client.awareness.getStates().get(other.doc.clientID)
  alice.awareness.setLocalState({ name: 'Alice', cursor: 3 })
  bob.awareness.setLocalState({ name: 'Bob' })
  await eventually('they see each other', () => sees(bob, alice)?.cursor === 3 && sees(alice, bob)?.name === 'Bob')
  const late = await connected(t, a, 'd')
  await eventually('so does who comes late', () => sees(late, alice) && sees(late, bob))
  alice.provider.disconnect()
  await eventually('Alice has gone for both', () => !sees(bob, alice) && !sees(late, alice))
  alice.provider.connect()
  await eventually('and is back', () => sees(bob, alice)?.name === 'Alice')
  const lost = []
  bob.awareness.on('update', ({ removed }) => lost.push(...removed))
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    await a.server.stop(signal)
    await a.start()
    await eventually('she is there again', () => alice.provider.synced, HEAL_MS)
    await sleep(1_000)
    assert.ok(!lost.includes(alice.doc.clientID), `nobody loses sight of those whose node is started again after ${signal}`)
  }
  // Those of a node that has died are not seen by who comes half a minute later.
  alice.provider.shouldConnect = false
  late.provider.destroy()
  await a.kill()
  const isGone = async () => {
    const fresh = await connected(t, b, 'd')
    const isSeen = sees(fresh, alice)
    fresh.provider.destroy()
    return !isSeen
  }
  assert.ok(!await isGone(), 'they are not gone at once')
  await eventually('nobody is left of those at the dead node', isGone, 45_000, 2_000)
  assert.equal(sees(bob, bob).name, 'Bob')
})

test('nobody shows anything for a page that is at another node', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const redis = await startRedis(t)
  const { nodes: [a, b] } = await startNodes(t, redis)
  const [alice, bob] = [await connected(t, a, 'd', { user: 'alice' }), await connected(t, b, 'd', { user: 'bob' })]
  const seen = []
  bob.awareness.on('update', () => seen.push(bob.awareness.getStates().get(alice.doc.clientID)?.name))
  alice.awareness.setLocalState({ name: 'Alice' })
  await eventually('bob sees her', () => seen.includes('Alice'))
  const { clock } = alice.awareness.meta.get(alice.doc.clientID)
  for (const node of [a, b]) {
    const mallory = await reader(t, node, 'd')
    mallory.send(presence([alice.doc.clientID, clock + 10, '{"name":"Mallory"}']))
    mallory.send(presence([alice.doc.clientID, clock + 10, 'null']))
    await heard(mallory)
  }
  alice.awareness.setLocalState({ name: 'Alice', cursor: 7 })
  const state = client => client.awareness.getStates().get(alice.doc.clientID)
  await eventually('bob sees what she does next', () => state(bob)?.cursor === 7, 5_000)
  assert.deepEqual(new Set(seen), new Set(['Alice']))
  assert.equal(state(alice).name, 'Alice')
})

test('without Redis a document moves to the other node when its own dies, and nothing is lost', { skip: noS3, timeout: TIMEOUT_MS }, async t => {
  const random = freshRandom(t)
  const { nodes, shelf } = await startApart(t, { SAVE_DEBOUNCE: '500ms', SAVE_MAX_WAIT: '2s' })
  const caddy = await startCaddy(t, nodes)
  const seen = new Seen()
  const people = Array.from({ length: 4 }, () => seen.watch(connect(t, caddy, 'd', behind(caddy))))
  await Promise.all(people.map(synced))
  const stops = people.map(client => typing(t, client, randomOf(random(1e9)), { everyMs: 60 }))
  for (let i = 0; i < 3; i++) {
    await sleep(1_000 + random(2_000))
    const open = await Promise.all(nodes.map(async node => (await (await fetch(`${node.http}/healthz`)).json()).connections))
    const [at, other] = open[0] > 0 ? nodes : [...nodes].reverse()
    assert.equal(Math.min(...open), 0, 'all are at one node')
    const before = seen.updates
    await at.kill()
    await eventually('they go on at the other', () => seen.updates > before + 50, HEAL_MS)
    assert.equal((await (await fetch(`${other.http}/healthz`)).json()).connections, people.length)
    await at.start()
  }
  for (const stop of stops) stop()
  await Promise.all(people.map(client => eventually('everybody is back', () => client.provider.synced, HEAL_MS)))
  await converged(people, HEAL_MS)
  assert.equal(seen.missingFrom(people[0].doc), null)
  await eventually('the bucket holds it all', async () => !lacks(load(await shelf.read('d')), people[0].doc), HEAL_MS, 200)
})

test('a server goes on alone without its Redis, and says why', async t => {
  const redis = await startRedis(t, { password: 'right' })
  for (const [url, says] of [
    [`redis://127.0.0.1:${await freePort()}`, /see whether Redis runs/],
    [redis.url.replace('right', 'wr0ng'), /see to user and password in REDIS_URL/],
    [redis.url.replace(':right@', ''), /see to user and password in REDIS_URL/]
  ]) {
    const server = await startServer(t, { env: { REDIS_URL: url } })
    const warning = await eventually('it warns', () => server.logLines.find(({ failure }) => says.test(failure)))
    assert.equal(warning.level, 'WARN')
    assert.equal((await (await fetch(`${server.http}/healthz`)).json()).bus, 'down')
    const [alice, bob] = [await connected(t, server, 'd'), await connected(t, server, 'd')]
    alice.doc.getText('t').insert(0, 'alone')
    await converged([alice, bob])
    await sleep(1_000)
    const warnings = server.logLines.filter(({ failure, level }) => failure && level === 'WARN')
    assert.equal(warnings.length, 1, 'it warns once')
    assert.ok(!server.log.includes('wr0ng'), 'no password is logged')
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  }
  const server = await startServer(t, { env: { REDIS_URL: redis.url } })
  await busIs(server, 'up')
  assert.ok(!server.log.includes('right'), 'no password is logged')
})
