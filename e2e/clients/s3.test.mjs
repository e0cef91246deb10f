// The same server with its snapshots in S3. scripts/s3-servers starts the store.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, converged } from '../lib/client.mjs'
import { startServer } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const ENDPOINT = process.env.YSYNCD_TEST_S3_SEAWEED
if (!ENDPOINT && process.env.CI === 'true') throw new Error('no S3 server: run this under scripts/s3-servers')

const s3 = prefix => ({
  S3_BUCKET: process.env.YSYNCD_TEST_S3_BUCKET,
  S3_PREFIX: prefix,
  AWS_ENDPOINT_URL_S3: ENDPOINT,
  AWS_REGION: process.env.AWS_REGION,
  AWS_ACCESS_KEY_ID: process.env.AWS_ACCESS_KEY_ID,
  AWS_SECRET_ACCESS_KEY: process.env.AWS_SECRET_ACCESS_KEY
})

/** No two runs share what they stored. */
const newPrefix = () => `e2e-${process.pid}-${Date.now()}`

test('what was edited is in S3 after a restart', { skip: !ENDPOINT && 'no S3 server' }, async t => {
  const env = s3(newPrefix())
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

test('two servers that write one document lose nothing', { skip: !ENDPOINT && 'no S3 server' }, async t => {
  const env = { ...s3(newPrefix()), SAVE_DEBOUNCE: '200ms' }
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
