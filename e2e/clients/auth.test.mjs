// Who may come in, and what the others are told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import { connected, converged, refusal } from '../lib/client.mjs'
import { startServer, token } from '../lib/server.mjs'

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

test('user ids may hold anything but a colon', async t => {
  const server = await startServer(t)
  for (const user of ['bob+tag@example.org', 'ä ö/ü?&=#%', '名前😀', ' ']) {
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
