// Documents between real clients: tests for every way that leads to a server.
import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as Y from 'yjs'
import { connect, connected, converged, synced } from './client.mjs'
import { temporaryFolder } from './server.mjs'
import { eventually } from './wait.mjs'

/**
 * @param {string} way how clients reach the server, in words
 * @param {typeof import('./server.mjs').startServer} serve starts one, to be reached in that way
 */
export const syncTests = (way, serve) => describe(way, () => {
  test('two clients see each other\'s edits, both ways', async t => {
    const server = await serve(t)
    const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
    a.doc.getText('t').insert(0, 'hello')
    await converged([a, b])
    b.doc.getText('t').insert(5, ' world')
    b.doc.getMap('m').set('k', { big: 2n ** 60n, zero: -0 })
    await converged([a, b])
    assert.equal(a.doc.getText('t').toString(), 'hello world')
    assert.deepEqual(a.doc.getMap('m').get('k'), { big: 2n ** 60n, zero: -0 })
  })

  test('clients that type at the same time converge', async t => {
    const server = await serve(t)
    const clients = await Promise.all(Array.from({ length: 5 }, () => connected(t, server, 'doc')))
    for (let round = 0; round < 50; round++) {
      for (const { doc } of clients) {
        const text = doc.getText('t')
        text.insert(round % (text.length + 1), `${round},`)
        if (round % 5 === 4) text.delete(0, Math.min(3, text.length))
      }
      await new Promise(setImmediate)
    }
    await converged(clients)
  })

  test('a late joiner gets the whole document', async t => {
    const server = await serve(t)
    const a = await connected(t, server, 'doc')
    a.doc.getText('t').insert(0, 'before anyone came')
    a.doc.getText('t').format(0, 6, { bold: true })
    a.doc.getText('t').delete(7, 7)
    const late = await connected(t, server, 'doc')
    await converged([a, late])
    assert.deepEqual(late.doc.getText('t').toDelta(), a.doc.getText('t').toDelta())
  })

  test('a document outlives its last client', async t => {
    const server = await serve(t)
    const a = await connected(t, server, 'doc')
    a.doc.getText('t').insert(0, 'left behind')
    await converged([a, await connected(t, server, 'doc')])
    a.provider.disconnect()
    const late = await connected(t, server, 'doc')
    assert.equal(late.doc.getText('t').toString(), 'left behind')
  })

  test('offline edits of both sides are merged', async t => {
    const server = await serve(t)
    const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
    a.doc.getText('t').insert(0, 'common')
    await converged([a, b])
    a.provider.disconnect()
    a.doc.getText('t').insert(0, 'offline ')
    a.doc.getText('t').delete(10, 2)
    b.doc.getText('t').insert(6, ' online')
    a.provider.connect()
    await synced(a)
    await converged([a, b])
    assert.equal(b.doc.getText('t').toString(), 'offline coon online')
  })

  test('undo takes back only one\'s own edits, across the server', async t => {
    const server = await serve(t)
    const [a, b] = await Promise.all([connected(t, server, 'doc'), connected(t, server, 'doc')])
    const undo = new Y.UndoManager(a.doc.getText('t'), { captureTimeout: 0 })
    a.doc.getText('t').insert(0, 'mine ')
    await converged([a, b])
    b.doc.getText('t').insert(5, 'yours')
    await converged([a, b])
    undo.undo()
    await converged([a, b])
    assert.equal(b.doc.getText('t').toString(), 'yours')
    undo.redo()
    await converged([a, b])
    assert.equal(b.doc.getText('t').toString(), 'mine yours')
  })

  test('a subdocument keeps its guid and its meta, also after a restart', async t => {
    const server = await serve(t)
    const a = await connected(t, server, 'doc')
    a.doc.getMap('m').set('sub', new Y.Doc({ guid: 'sub-1', meta: { size: 5n }, gc: false }))
    const check = ({ doc }) => {
      const sub = doc.getMap('m').get('sub')
      assert.equal(sub.guid, 'sub-1')
      assert.deepEqual(sub.meta, { size: 5n })
      assert.equal(sub.gc, false)
    }
    const late = await connected(t, server, 'doc')
    check(late)
    const { port, dataDir } = server
    await server.stop()
    check(await connected(t, await serve(t, { port, dataDir }), 'doc'))
  })

  test('a client without garbage collection keeps its history', async t => {
    const server = await serve(t, { env: { GC: 'false' } })
    const doc = new Y.Doc({ gc: false })
    const a = await connected(t, server, 'doc', { doc })
    doc.getText('t').insert(0, 'old words')
    const before = Y.snapshot(doc)
    doc.getText('t').delete(0, 4)
    const { port, dataDir } = server
    await converged([a, await connected(t, server, 'doc', { doc: new Y.Doc({ gc: false }) })])
    await server.stop()
    const late = await connected(t, await serve(t, { port, dataDir }), 'doc', { doc: new Y.Doc({ gc: false }) })
    assert.equal(late.doc.getText('t').toString(), 'words')
    assert.equal(Y.createDocFromSnapshot(late.doc, before).getText('t').toString(), 'old words')
  })

  test('documents do not mix, whatever their ids', async t => {
    const server = await serve(t)
    // Not `.` and `..`: URLs cannot end in these, however they are encoded.
    const ids = ['a', 'A', 'a/b', 'a//b', 'a/', '/a', 'with space', 'ü/名前/😀', '...', 'a?b#c%', '%2e', 'x'.repeat(300), '0', 'CON', 'new\nline']
    for (const id of ids) {
      const client = await connected(t, server, encodeURIComponent(id))
      client.doc.getText('t').insert(0, `this is ${id}`)
      client.provider.disconnect()
    }
    for (const id of ids) {
      const client = await connected(t, server, encodeURIComponent(id))
      assert.equal(client.doc.getText('t').toString(), `this is ${id}`)
    }
    // What y-websocket itself does not encode.
    for (const id of ['a/b', 'a//b', 'a/', 'with space', 'ü/名前/😀']) {
      const client = await connected(t, server, id)
      assert.equal(client.doc.getText('t').toString(), `this is ${id}`)
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    const files = await readdir(server.dataDir)
    for (const id of ids.filter(id => id.length < 200)) assert.ok(files.includes(`${encodeURIComponent(id)}.bin`), id)
  })

  test('what was edited is there after a restart', async t => {
    const server = await serve(t)
    const { port, dataDir } = server
    const a = await connected(t, server, 'doc')
    a.doc.getText('t').insert(0, 'saved')
    await converged([a, await connected(t, server, 'doc')])
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    a.doc.getText('t').insert(5, ', and edited while the server was away')

    const stored = new Y.Doc()
    Y.applyUpdate(stored, await readFile(join(dataDir, 'doc.bin')))
    assert.equal(stored.getText('t').toString(), 'saved')

    const again = await serve(t, { port, dataDir })
    const late = await connected(t, again, 'doc')
    await converged([a, late], 20_000)
    assert.equal(late.doc.getText('t').toString(), 'saved, and edited while the server was away')
    assert.deepEqual(await again.stop('SIGINT'), { code: 0, signal: null })
  })

  test('a snapshot that Yjs wrote is loaded', async t => {
    const dataDir = await temporaryFolder(t)
    const doc = new Y.Doc()
    doc.getText('t').insert(0, 'from another server 😀')
    doc.getText('t').delete(4, 9)
    doc.getArray('a').push([{ big: 1n }, new Y.Map([['k', new Uint8Array([1, 2])]])])
    const id = 'team/plan ü'
    await writeFile(join(dataDir, `${encodeURIComponent(id)}.bin`), Y.encodeStateAsUpdate(doc))
    const server = await serve(t, { dataDir })
    const client = await connected(t, server, encodeURIComponent(id))
    await converged([client, { doc }])
    client.doc.getText('t').insert(0, 'edited: ')
    await converged([client, await connected(t, server, encodeURIComponent(id))])
  })

  test('a damaged snapshot refuses its document and is left as it is', async t => {
    const dataDir = await temporaryFolder(t)
    const damaged = Buffer.from('010101000401', 'hex')
    await writeFile(join(dataDir, 'doc.bin'), damaged)
    const server = await serve(t, { dataDir })
    const client = connect(t, server, 'doc')
    client.doc.getText('t').insert(0, 'must not be written over it')
    const other = await connected(t, server, 'other')
    await eventually('the client was refused twice', () => client.closes.length >= 2)
    assert.equal(client.provider.synced, false)
    assert.equal(other.closes.length, 0)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    assert.deepEqual(await readFile(join(dataDir, 'doc.bin')), damaged)
  })

  test('a large document in one update arrives', async t => {
    const server = await serve(t)
    const a = await connected(t, server, 'doc')
    a.doc.getText('t').insert(0, 'x'.repeat(5_000_000))
    const late = await connected(t, server, 'doc')
    await converged([a, late])
  })
})
