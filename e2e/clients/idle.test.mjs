// y-websocket hangs up after 30 s without a message: pings do not count.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, converged } from '../lib/client.mjs'
import { startServer } from '../lib/server.mjs'
import { sleep } from '../lib/wait.mjs'

test('clients that say nothing stay connected for more than 35 s', async t => {
  const server = await startServer(t)
  const idle = await connected(t, server, 'doc')
  // Renews nothing every 15 s, so that only the server can keep it alive.
  const silent = await connected(t, server, 'doc')
  silent.awareness.setLocalState(null)
  const alone = await connected(t, server, 'lonely')
  alone.awareness.setLocalState(null)
  await sleep(38_000)
  for (const client of [idle, silent, alone]) assert.deepEqual(client.closes, [])
  idle.doc.getText('t').insert(0, 'still here')
  await converged([idle, silent])
})
