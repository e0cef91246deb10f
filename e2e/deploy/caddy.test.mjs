// Behind Debian's Caddy, with the configuration that is shipped.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get } from 'node:https'
import { test } from 'node:test'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { startCaddy } from '../lib/caddy.mjs'
import { connected, converged, synced } from '../lib/client.mjs'
import { freePort } from '../lib/port.mjs'
import { jwt, startServer, token } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

/** The ways in which a client may show its token. */
const ways = {
  'a header': (caddy, token, more) => ({ params: {}, WebSocketPolyfill: caddy.socket({ Authorization: `Bearer ${token}`, ...more }) }),
  'a cookie': (caddy, token, more) => ({ params: {}, WebSocketPolyfill: caddy.socket({ Cookie: `theme=dark; ysyncd_token=${token}; x=y`, ...more }) }),
  'the query': (caddy, token, more) => ({ params: { token }, WebSocketPolyfill: caddy.socket(more) })
}

for (const [way, show] of Object.entries(ways)) {
  test(`clients that show their token in ${way} edit together`, async t => {
    const server = await startServer(t, { env: { LOG: 'debug' } })
    const caddy = await startCaddy(t, [server])
    const tokens = [token('alice'), jwt({}, { user: 'bob' })]
    const clients = await Promise.all(tokens.map(token => connected(t, caddy, 'notes/caf%C3%A9%2F1', show(caddy, token))))
    clients.forEach(({ doc }, i) => doc.getText('t').insert(0, `${i}`))
    await converged(clients)
    clients[0].awareness.setLocalStateField('name', 'alice')
    await eventually('the cursor shows', () => [...clients[1].awareness.getStates().values()].some(({ name }) => name === 'alice'))
    const { documents } = await (await fetch(`${server.http}/healthz`)).json()
    assert.equal(documents, 1, 'they have opened the same document')
    // Caddy logs a WebSocket once it has ended.
    clients.forEach(({ provider }) => provider.disconnect())
    await eventually('Caddy logs both', () => caddy.log.split('Sec-Websocket-Accept').length > 2)
    for (const token of tokens) {
      const secret = token.split(/[:.]/).at(-1)
      assert.ok(!server.log.includes(secret), 'the server logs no token')
      assert.ok(!caddy.log.includes(secret), 'Caddy logs no token')
      assert.ok(!caddy.log.includes(encodeURIComponent(secret)), 'Caddy logs no token')
    }
  })

  test(`a wrong token in ${way} is refused with 401`, async t => {
    const server = await startServer(t)
    const caddy = await startCaddy(t, [server])
    const { params, WebSocketPolyfill: Socket } = show(caddy, 'alice:wrong')
    const query = new URLSearchParams(params)
    const status = await new Promise((resolve, reject) => {
      const socket = new Socket(`${caddy.url}/a?${query}`)
      socket.on('open', () => reject(new Error('it was let in')))
      socket.on('error', reject)
      socket.on('unexpected-response', (request, response) => {
        request.destroy()
        resolve(response.statusCode)
      })
    })
    assert.equal(status, 401)
  })

  // A page would see nothing of a 401, and y-websocket would try for ever.
  test(`a browser that shows a wrong token in ${way} is told so and stays away`, async t => {
    const server = await startServer(t)
    const caddy = await startCaddy(t, [server])
    const { params, WebSocketPolyfill: Socket } = show(caddy, 'alice:wrong', { Origin: 'https://app.example.org' })
    let tries = 0
    class Browser extends Socket {
      constructor (url, protocols) {
        super(url, protocols)
        tries++
      }
    }
    const doc = new Y.Doc()
    const provider = new WebsocketProvider(caddy.url, 'a', doc, { params, WebSocketPolyfill: Browser, disableBc: true })
    t.after(() => {
      provider.destroy()
      doc.destroy()
    })
    const [{ code, reason }] = await new Promise(resolve => provider.on('closed', (...told) => resolve(told)))
    assert.equal(code, 4401)
    assert.match(reason, /token/)
    // A proxy that was just started may fail at first, and it tries again; not once it is told.
    const before = tries
    assert.ok(before <= 3, `${before} tries`)
    await new Promise(resolve => setTimeout(resolve, 1_500))
    assert.equal(tries, before)
  })
}

test('nothing but documents is to be seen from outside', async t => {
  const server = await startServer(t)
  const caddy = await startCaddy(t, [server])
  for (const path of ['/', '/metrics', '/healthz', '/readyz', '/inspector', '/inspector/facts', '/sync/v1', '/sync/v1/../../metrics']) {
    const request = get(`https://localhost:${caddy.port}`, { path, ca: caddy.authority })
    const [response] = await once(request, 'response')
    response.resume()
    assert.equal(response.statusCode, 404, path)
  }
})

test('a reload of Caddy costs nobody anything but a reconnect', async t => {
  const server = await startServer(t)
  const caddy = await startCaddy(t, [server])
  const clients = await Promise.all(['alice', 'bob'].map(user =>
    connected(t, caddy, 'd', ways['the query'](caddy, token(user)))))
  const before = clients.map(({ closes }) => closes.length)
  let count = 0
  const typing = setInterval(() => clients.forEach(({ doc }) => doc.getText('t').insert(0, `${count++} `)), 20)
  t.after(() => clearInterval(typing))
  for (let i = 0; i < 2; i++) await caddy.reload()
  await eventually('connections were closed', () => clients.every(({ closes }, i) => closes.length > before[i]))
  clearInterval(typing)
  await Promise.all(clients.map(synced))
  await converged(clients)
  assert.equal(clients[0].doc.getText('t').toString().split(' ').length - 1, count)
})

test('a document goes to one node, whoever opens it', async t => {
  const servers = await Promise.all([startServer(t), startServer(t)])
  const caddy = await startCaddy(t, servers)
  const docs = Array.from({ length: 12 }, (_, i) => `doc-${i}`)
  const clients = []
  for (const doc of docs) {
    for (const user of ['alice', 'bob', 'carol']) {
      clients.push(await connected(t, caddy, doc, ways['the query'](caddy, token(user))))
    }
  }
  const status = await Promise.all(servers.map(async ({ http }) => await (await fetch(`${http}/healthz`)).json()))
  assert.equal(status[0].documents + status[1].documents, docs.length, 'no document is open on both')
  assert.ok(status.every(({ documents }) => documents > 0), 'both have some')
})

test('who comes when a node has died is sent to another', async t => {
  const servers = await Promise.all([startServer(t), startServer(t)])
  const caddy = await startCaddy(t, servers)
  await servers[0].stop('SIGKILL')
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) =>
    connected(t, caddy, `doc-${i}`, ways['the query'](caddy, token('alice')))))
  const { connections } = await (await fetch(`${servers[1].http}/healthz`)).json()
  assert.equal(connections, clients.length)
})

test('a node that has not reached its store gets nobody', async t => {
  const AWS = { AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${await freePort()}`, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' }
  const servers = await Promise.all([startServer(t), startServer(t, { env: { S3_BUCKET: 'away', ...AWS } })])
  assert.equal((await fetch(`${servers[1].http}/readyz`)).status, 503)
  const caddy = await startCaddy(t, servers)
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) =>
    connected(t, caddy, `doc-${i}`, ways['the query'](caddy, token('alice')))))
  const { connections } = await (await fetch(`${servers[0].http}/healthz`)).json()
  assert.equal(connections, clients.length)
})

test('nobody counts as somebody else by what they say of their address', async t => {
  const server = await startServer(t, { env: { LOG: 'info,ysyncd_net=debug' } })
  const caddy = await startCaddy(t, [server])
  const claims = { Authorization: `Bearer ${token('alice')}`, 'X-Forwarded-For': '203.0.113.7', Forwarded: 'for=203.0.113.7' }
  await connected(t, caddy, 'd', { params: {}, WebSocketPolyfill: caddy.socket(claims) })
  const opened = await eventually('the server logs who has come', () => server.logLines.find(({ user }) => user === 'alice'))
  assert.match(opened.address, /^(127\.0\.0\.1|::1)$/)
  assert.ok(!server.log.includes('203.0.113.7'))
})
