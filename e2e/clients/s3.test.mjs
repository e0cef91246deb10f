// The same server with its snapshots in S3. scripts/s3-servers starts the store.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, converged } from '../lib/client.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

test('what was edited is in S3 after a restart', { skip: noS3 }, async t => {
  const env = new Shelf().env()
  const id = encodeURIComponent('team/plan ü')
  const server = await startServer(t, { env })
  const a = await connected(t, server, id)
  a.doc.getText('t').insert(0, 'saved in a bucket')
  await converged([a, await connected(t, server, id)])
  assert.deepEqual(await server.stop(), { code: 0, signal: null })

  // Another port and another folder: nothing but the bucket is shared.
  const again = await startServer(t, { env })
  const late = await connected(t, again, id)
  assert.equal(late.doc.getText('t').toString(), 'saved in a bucket')
})

test('two servers that write one document lose nothing', { skip: noS3 }, async t => {
  const env = { ...new Shelf().env(), SAVE_DEBOUNCE: '200ms' }
  const servers = [await startServer(t, { env }), await startServer(t, { env })]
  const clients = []
  for (const server of servers) clients.push(await connected(t, server, 'doc'))
  clients[0].doc.getText('t').insert(0, 'one ')
  clients[1].doc.getText('t').insert(0, 'two ')
  // Whoever writes second finds the other's snapshot and merges it.
  await eventually('one of them shows both', () =>
    clients.some(({ doc }) => doc.getText('t').length === 'one two '.length), 20_000)
  for (const server of servers) assert.deepEqual(await server.stop(), { code: 0, signal: null })

  const late = await connected(t, await startServer(t, { env }), 'doc')
  assert.deepEqual(late.doc.getText('t').toString().trim().split(' ').sort(), ['one', 'two'])
})
