// `ysyncd doc` on a bucket that keeps versions, beside servers and their
// clients. What it does on a folder is tested in bin/tests/.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import * as Y from 'yjs'
import { connected } from '../lib/client.mjs'
import { noS3, Shelf } from '../lib/s3.mjs'
import { BINARY, startServer } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

/** Settings of servers and commands that share documents with nobody else. */
const settings = () => ({ ...new Shelf().env(), S3_BUCKET: process.env.YSYNCD_TEST_S3_VERSIONED_BUCKET })

test('documents in a bucket can be listed, shown, verified, exported and imported', { skip: noS3 }, async t => {
  const env = settings()
  const server = await startServer(t, { env })
  const client = await connected(t, server, encodeURIComponent('team/plan ü'))
  client.doc.getText('t').insert(0, 'written by a client')
  assert.deepEqual(await server.stop(), { code: 0, signal: null })

  const [listed] = await lines(env, 'list', 'team/', '--json')
  assert.equal(listed.id, 'team/plan ü')
  assert.ok(Math.abs(Date.now() - Date.parse(listed.modified)) < 600_000, listed.modified)
  const [shown] = await lines(env, 'show', 'team/plan ü', '--json')
  assert.deepEqual(shown.roots, [{ name: 't', kind: 'text', content: 'written by a client' }])
  await done(env, ['verify', '--all'])

  const exported = await done(env, ['export', 'team/plan ü'])
  assert.equal(exported.length, listed.size_bytes)
  await done(env, ['import', 'copy'], exported)
  assert.deepEqual((await lines(env, 'list', '--json')).map(({ id }) => id), ['copy', 'team/plan ü'])
  const again = await connected(t, await startServer(t, { env }), 'copy')
  assert.equal(again.doc.getText('t').toString(), 'written by a client')
})

test('an old version comes back under another id, and a deleted document too', { skip: noS3 }, async t => {
  const env = settings()
  const doc = new Y.Doc()
  for (const word of ['one', ' two']) {
    doc.getText('t').insert(doc.getText('t').length, word)
    await done(env, ['import', 'a'], Y.encodeStateAsUpdate(doc))
  }
  const versions = await lines(env, 'versions', 'a', '--json')
  assert.deepEqual(versions.map(({ latest }) => latest), [true, false])
  await done(env, ['restore', 'a', '--version', versions[1].version, '--as', 'b'])
  assert.equal(await text(env, 'b'), 'one')
  assert.equal(await text(env, 'a'), 'one two')

  const taken = await run(env, ['restore', 'a', '--version', versions[1].version, '--as', 'b'])
  assert.equal(taken.code, 1)
  assert.match(taken.stderr, /already/)
  const missing = await run(env, ['restore', 'a', '--version', '0'.repeat(32), '--as', 'c'])
  assert.equal(missing.code, 1, missing.stderr)

  const restored = await run(env, ['restore', 'a', '--version', versions[1].version, '--offline'])
  assert.equal(restored.code, 0, restored.stderr)
  assert.match(restored.stderr, /merges it back/)
  assert.equal(await text(env, 'a'), 'one')

  await done(env, ['delete', 'a', '--yes'])
  assert.equal((await run(env, ['show', 'a'])).code, 1)
  const [latest] = await lines(env, 'versions', 'a', '--json')
  assert.ok(latest.deleted)
  await done(env, ['restore', 'a', '--version', versions[0].version, '--as', 'a'])
  assert.equal(await text(env, 'a'), 'one two')
})

test('what is imported beside a running server reaches its clients', { skip: noS3 }, async t => {
  const env = { ...settings(), SAVE_DEBOUNCE: '200ms' }
  const server = await startServer(t, { env })
  const client = await connected(t, server, 'a')
  client.doc.getText('t').insert(0, 'typed')
  await eventually('it is saved', async () => (await lines(env, 'list', '--json')).length === 1)

  const imported = new Y.Doc()
  imported.getText('t').insert(0, 'imported')
  await done(env, ['import', 'a'], Y.encodeStateAsUpdate(imported))
  // The server finds it when it saves the next time.
  client.doc.getText('t').insert(0, '+')
  await eventually('the client has both', () => client.doc.getText('t').length === '+typedimported'.length, 20_000)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assert.equal(await text(env, 'a'), client.doc.getText('t').toString())
})

const text = async (env, id) => {
  const [{ roots }] = await lines(env, 'show', id, '--json')
  return roots[0].content
}

/** What a command prints as lines of JSON. */
const lines = async (env, ...args) =>
  (await done(env, args)).toString().trim().split('\n').filter(line => line).map(line => JSON.parse(line))

const done = async (env, args, stdin) => {
  const { code, stdout, stderr } = await run(env, args, stdin)
  assert.equal(code, 0, stderr)
  return stdout
}

const run = async (env, args, stdin = '') => {
  const child = spawn(BINARY, ['doc', ...args], { env })
  const out = { stdout: [], stderr: [] }
  for (const name of ['stdout', 'stderr']) child[name].on('data', chunk => out[name].push(chunk))
  // It may end without reading it.
  child.stdin.on('error', () => {})
  child.stdin.end(stdin)
  const [code] = await once(child, 'close')
  return { code, stdout: Buffer.concat(out.stdout), stderr: Buffer.concat(out.stderr).toString() }
}
