// Who may come in, and what the others are told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { connected, converged, refusal } from '../lib/client.mjs'
import { SECRET, jwt, startServer, token } from '../lib/server.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const bearer = value => ({ headers: { Authorization: `Bearer ${value}` } })

/** y-websocket over a WebSocket that sends a header, as servers use it. */
const withHeader = value => class extends WebSocket {
  constructor (url, protocols) {
    super(url, protocols, bearer(value))
  }
}

test('a token is taken from the query and from the header', async t => {
  const server = await startServer(t)
  const query = await connected(t, server, 'doc')
  const header = await connected(t, server, 'doc', { params: {}, WebSocketPolyfill: withHeader(token('bob')) })
  header.doc.getText('t').insert(0, 'hi')
  await converged([query, header])
})

test('a signature may be written in hex', async t => {
  const server = await startServer(t)
  await connected(t, server, 'doc', { params: { token: token('bob', { encoding: 'hex' }) } })
})

test('user ids may hold any text', async t => {
  const server = await startServer(t)
  for (const user of ['bob+tag@example.org', 'ä ö/ü?&=#%', '名前😀', ' ', 'urn:user:7']) {
    await connected(t, server, 'doc', { user })
  }
})

test('the header wins over the query', async t => {
  const server = await startServer(t)
  const { status } = await refusal(`${server.url}/doc?token=${encodeURIComponent(token())}`, bearer('bob:wrong'))
  assert.equal(status, 401)
})

test('bad tokens are refused with 401 before the upgrade', async t => {
  const server = await startServer(t)
  const good = token('bob')
  const bad = {
    none: '',
    empty: '?token=',
    'no signature': '?token=bob',
    'an empty signature': '?token=bob:',
    'another user': `?token=${encodeURIComponent(good.replace('bob', 'eve'))}`,
    'another secret': `?token=${encodeURIComponent(token('bob', { secret: 'another' }))}`,
    'a cut signature': `?token=${encodeURIComponent(good.slice(0, -1))}`,
    'an unused parameter': `?tok=${encodeURIComponent(good)}`
  }
  for (const [name, query] of Object.entries(bad)) {
    assert.equal((await refusal(`${server.url}/doc${query}`)).status, 401, name)
  }
  for (const value of ['', 'bob', good.slice(1), `${good}x`]) {
    assert.equal((await refusal(`${server.url}/doc`, bearer(value))).status, 401, value)
  }
  const basic = { headers: { Authorization: `Basic ${Buffer.from(good).toString('base64')}` } }
  assert.equal((await refusal(`${server.url}/doc`, basic)).status, 401)
})

test('a JWT opens the documents that it names', async t => {
  const server = await startServer(t)
  const params = { token: jwt({ docs: ['team/*', 'notes'] }) }
  const [one, two] = [await connected(t, server, 'team/plan', { params }), await connected(t, server, 'team/plan')]
  one.doc.getText('t').insert(0, 'hi')
  await converged([one, two])
  await connected(t, server, 'notes', { params })
  const status = async doc => (await refusal(`${server.url}/${doc}`, bearer(params.token))).status
  for (const doc of ['teams', 'notes/2', 'other']) assert.equal(await status(doc), 403, doc)
})

test('who may only read sees everything and changes nothing', async t => {
  const server = await startServer(t)
  const writer = await connected(t, server, 'doc')
  writer.doc.getText('t').insert(0, 'for all')
  const reader = await connected(t, server, 'doc', { params: { token: jwt({ access: 'read' }) } })
  await converged([writer, reader])
  reader.awareness.setLocalStateField('user', { name: 'the reader' })
  await eventually('the writer sees the reader', () =>
    [...writer.awareness.getStates().values()].some(({ user }) => user?.name === 'the reader'))
  reader.doc.getText('t').insert(0, 'not ')
  await eventually('the update was ignored', async () => (await server.metrics()).updates_forbidden === 1)
  writer.doc.getText('t').insert(7, '!')
  await eventually('the reader goes on reading', () => reader.doc.getText('t').toString() === 'not for all!')
  assert.equal(writer.doc.getText('t').toString(), 'for all!')
  assert.deepEqual(reader.closes, [])
})

test('a connection ends with its token, and y-websocket stays away', async t => {
  const server = await startServer(t)
  const exp = Math.floor(Date.now() / 1_000) + 3
  const client = await connected(t, server, 'doc', { params: { token: jwt({ exp }) } })
  await eventually('it is closed', () => client.closes.length > 0)
  assert.ok(Date.now() >= exp * 1_000, 'not before its time')
  assert.equal(client.closes[0], 4401)
  await sleep(3_000)
  assert.equal(client.closes.length, 1, 'it does not come back by itself')
})

test('JWTs that are no good are refused with 401', async t => {
  const server = await startServer(t)
  const now = Math.floor(Date.now() / 1_000)
  const good = jwt()
  const [header, claims, signature] = good.split('.')
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  const bad = {
    expired: jwt({ exp: now - 1 }),
    'not yet valid': jwt({ nbf: now + 60 }),
    'without an end': jwt({ exp: undefined }),
    'another secret': jwt({}, { secret: 'another' }),
    'another algorithm': jwt({}, { header: { alg: 'HS512' } }),
    'no algorithm': `${none}.${claims}.`,
    'no signature': `${header}.${claims}.`,
    'other claims': `${header}.${claims.replace(/.$/, 'A')}.${signature}`,
    huge: jwt({ extra: 'x'.repeat(9_000) })
  }
  for (const [name, value] of Object.entries(bad)) {
    assert.equal((await refusal(`${server.url}/doc`, bearer(value))).status, 401, name)
  }
})

test('what was signed with the previous secret is good until it is taken back', async t => {
  const env = { SYNC_SHARED_SECRET: 'a new secret, long enough', SYNC_SHARED_SECRET_PREVIOUS: SECRET }
  const server = await startServer(t, { env })
  await connected(t, server, 'doc', { params: { token: token() } })
  await connected(t, server, 'doc', { params: { token: jwt({}, { secret: env.SYNC_SHARED_SECRET }) } })
})

test('AUTH says which kinds of tokens count', async t => {
  const server = await startServer(t, { env: { AUTH: 'jwt' } })
  await connected(t, server, 'doc', { params: { token: jwt() } })
  assert.equal((await refusal(`${server.url}/doc`, bearer(token()))).status, 401)
})

test('pages of other origins are refused where origins are named', async t => {
  const server = await startServer(t, { env: { ALLOWED_ORIGINS: 'https://app.example.org' } })
  const origin = value => ({ origin: value, ...bearer(token()) })
  assert.equal((await refusal(`${server.url}/doc`, origin('https://evil.example'))).status, 403)
  await connected(t, server, 'doc')
})

test('no token and no secret is ever logged', async t => {
  const previous = 'the secret of before, long enough'
  const server = await startServer(t, { env: { LOG: 'trace', SYNC_SHARED_SECRET_PREVIOUS: previous } })
  const tokens = [SECRET, previous].flatMap(secret => [token('tester', { secret }), jwt({}, { secret })])
  const secrets = [SECRET, previous, ...tokens]
  for (const value of tokens) {
    await connected(t, server, 'doc', { params: { token: value } })
    await refusal(`${server.url}/?token=${encodeURIComponent(value)}`)
    await refusal(`${server.url}/doc?token=${encodeURIComponent(value + 'x')}`)
  }
  await server.stop()
  for (const value of secrets) {
    for (const form of [value, encodeURIComponent(value), value.split(/[:.]/).at(-1)]) {
      assert.ok(!server.log.includes(form), `the log tells ${form}`)
    }
  }
})

test('who is refused is told in the log, a few times a minute', async t => {
  const server = await startServer(t)
  const wrong = `eve:${'w'.repeat(43)}`
  await refusal(`${server.url}/team%2Fplan?token=${encodeURIComponent(wrong)}`)
  await refusal(`${server.url}/plan`, bearer(jwt({ docs: ['other'] })))
  for (let i = 0; i < 30; i++) await refusal(`${server.url}/${i}`)
  await server.stop()
  const told = server.logLines.filter(({ message }) => message.startsWith('access refused'))
  assert.equal(told.length, 10)
  for (const { level, address } of told) assert.deepEqual([level, address], ['INFO', '127.0.0.1'])
  const [signature, other, missing] = told.map(({ doc, reason }) => `${doc}: ${reason}`)
  assert.match(signature, /^team\/plan: the token's signature is wrong/)
  assert.match(other, /^plan: the token does not allow this document/)
  assert.match(missing, /^0: a token is missing/)
  assert.ok(!server.log.includes(wrong.slice(4)))
})

test('unknown paths are refused with 404, bad ids with 400', async t => {
  const server = await startServer(t)
  const good = `?token=${encodeURIComponent(token())}`
  const status = async path => (await refusal(`ws://127.0.0.1:${server.port}${path}${good}`)).status
  for (const path of ['/', '/doc', '/sync', '/sync/v2/doc', '/sync/v1']) assert.equal(await status(path), 404, path)
  for (const path of ['/sync/v1/', '/sync/v1/%ff', '/sync/v1/a%zz', `/sync/v1/${'x'.repeat(301)}`]) {
    assert.equal(await status(path), 400, path)
  }
})

test('/healthz and /metrics answer in the format that is asked for', async t => {
  const server = await startServer(t)
  await connected(t, server, 'doc')
  const get = async (path, accept) => {
    const response = await fetch(`${server.http}${path}`, accept ? { headers: { accept } } : {})
    assert.equal(response.status, 200)
    return { type: response.headers.get('content-type'), body: await response.text() }
  }
  const json = await get('/healthz')
  assert.match(json.type, /^application\/json/)
  assert.equal(JSON.parse(json.body).ok, true)
  const text = await get('/healthz', 'text/plain; version=0.0.4')
  assert.match(text.type, /^text\/plain/)
  assert.match(text.body, /^ysyncd_/m)
  const open = await get('/metrics', 'application/openmetrics-text; version=1.0.0')
  assert.match(open.type, /^application\/openmetrics-text/)
  assert.match(open.body, /# EOF\n$/)
})
