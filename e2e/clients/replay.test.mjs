// A real editing session, keystroke by keystroke.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, converged } from '../lib/client.mjs'
import { startServer } from '../lib/server.mjs'
import { loadTrace, play, tracesAreHere } from '../lib/traces.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const MAX_BUFFERED_BYTES = 1 << 20

test('one client types the whole automerge-paper while another follows', { skip: !tracesAreHere() && 'no traces', timeout: 600_000 }, async t => {
  const trace = loadTrace('automerge-paper')
  const server = await startServer(t)
  const [writer, reader] = [await connected(t, server, 'paper'), await connected(t, server, 'paper')]
  let edits = 0
  for (const _ of play(trace, writer.doc)) {
    edits++
    if (edits % 500 === 0) await sent(writer)
  }
  assert.equal(edits, 259_778)
  await converged([writer, reader], 120_000)
  assert.equal(reader.doc.getText('text').toString(), trace.endContent)
  const late = await connected(t, server, 'paper')
  assert.equal(late.doc.getText('text').toString(), trace.endContent)
  for (const client of [writer, reader]) assert.deepEqual(client.closes, [])

  const { port, dataDir } = server
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  const again = await connected(t, await startServer(t, { port, dataDir }), 'paper')
  assert.equal(again.doc.getText('text').toString(), trace.endContent)
})

/** Lets the event loop send, so that the writer does not outrun its socket. */
const sent = async ({ provider }) => {
  await sleep(0)
  await eventually('the socket takes more', () => provider.ws?.bufferedAmount < MAX_BUFFERED_BYTES, 60_000)
}
