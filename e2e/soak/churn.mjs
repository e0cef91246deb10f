#!/usr/bin/env node
// Whether the server's memory stays what it is while clients come and go:
//
//   node e2e/soak/churn.mjs [--seconds 600] [--clients 120] [--svg docs/soak.svg]
//
// Clients of y-websocket open documents, type, delete, move their cursors, and
// go after a while; some of them stop reading for long. Documents are given up
// for new ones, as on a server that runs for months. Prints a line every ten
// seconds, draws what happened, and ends with 1 if the server holds more than a
// tenth more at the end than after the first minute (a tenth of the time, if
// that is less).
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { WebsocketProvider } from 'y-websocket'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { randomOf } from '../lib/random.mjs'
import { launch, token } from '../lib/server.mjs'
import { sleep } from '../lib/wait.mjs'
import { plot } from './plot.mjs'

const GROWTH_MAX = 0.1
const DOCUMENTS = 40
const DOCUMENT_SECONDS = 40
const STAY_SECONDS = [3, 15]
const EDIT_MS = 250

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    clients: { type: 'string', default: '120' },
    seed: { type: 'string', default: '1' },
    svg: { type: 'string' }
  }
})
const seconds = Number(options.seconds)
const clients = Number(options.clients)
const random = randomOf(Number(options.seed))

process.setMaxListeners(0)

const main = async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'ysyncd-soak-'))
  const server = launch({ dataDir, env: { IDLE_GRACE: '5s', SAVE_DEBOUNCE: '1s', SAVE_MAX_WAIT: '3s', LOG: 'warn,ysyncd=info' } })
  try {
    await server.ready()
    const start = Date.now()
    const ends = start + seconds * 1_000
    const people = Array.from({ length: clients }, (_, i) => person(server, i, start, ends))
    const samples = await watch(server, start, ends)
    await Promise.all(people)
    if (options.svg) await writeFile(options.svg, plot(title(samples), samples))
    return judge(samples)
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Comes and goes until the time is over. */
const person = async (server, at, start, ends) => {
  // Not all in the same moment.
  await sleep(random(5_000))
  while (Date.now() < ends) {
    const generation = Math.floor((Date.now() - start) / 1_000 / DOCUMENT_SECONDS)
    await visit(server, `room ${generation}.${random(DOCUMENTS)}`, Math.min(ends, Date.now() + between(...STAY_SECONDS) * 1_000))
  }
}

const visit = async (server, room, until) => {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(server.url, room, doc, {
    params: { token: token(`user ${random(1_000)}`) },
    WebSocketPolyfill: WebSocket,
    disableBc: true
  })
  const isSlow = random.once(8)
  while (Date.now() < until) {
    await sleep(EDIT_MS / 2 + random(EDIT_MS))
    if (!provider.synced) continue
    edit(doc)
    provider.awareness.setLocalStateField('cursor', random(1_000))
    if (isSlow && random.once(10)) {
      provider.ws?.pause()
      await sleep(Math.min(3_000, until - Date.now()))
      provider.ws?.resume()
    }
  }
  provider.awareness.destroy()
  provider.destroy()
  doc.destroy()
}

const edit = doc => doc.transact(() => {
  const text = doc.getText('text')
  const map = doc.getMap('map')
  text.insert(random(text.length + 1), 'a few words more '.slice(0, 1 + random(16)))
  if (text.length > 2_000) text.delete(random(1_000), 900)
  if (random.once(4)) map.set(`key ${random(20)}`, new Y.Map([['at', random(1_000)]]))
})

/** Looks each second. */
const watch = async (server, start, ends) => {
  const samples = []
  let before = 0
  for (let second = 1; Date.now() < ends; second++) {
    await sleep(start + second * 1_000 - Date.now())
    const [bytes, metrics] = [await server.residentBytes(), await server.metrics()]
    const sample = {
      second,
      memory: bytes / 2 ** 20,
      connections: metrics.connections,
      updates: metrics.updates_applied - before
    }
    before = metrics.updates_applied
    samples.push(sample)
    if (second % 10 === 0) {
      console.log(`${String(second).padStart(5)} s  ${sample.memory.toFixed(1)} MiB  ${sample.connections} connections  ${sample.updates} updates/s`)
    }
  }
  return samples
}

/** The middle one of the memory of ten seconds, so that one moment decides nothing. */
const memoryAround = (samples, second) => {
  const near = samples.filter(sample => Math.abs(sample.second - second) <= 5).map(({ memory }) => memory)
  return near.sort((a, b) => a - b)[Math.floor(near.length / 2)]
}

const figures = samples => {
  const settled = Math.min(60, seconds / 10)
  return { settled, then: memoryAround(samples, settled), now: memoryAround(samples, samples.at(-1).second - 5) }
}

const title = samples => {
  const { settled, then, now } = figures(samples)
  const total = samples.reduce((sum, { updates }) => sum + updates, 0)
  return `${clients} clients coming and going for ${seconds} s, ${total} updates: ` +
    `${then.toFixed(1)} MiB after ${settled} s, ${now.toFixed(1)} MiB in the end`
}

const judge = samples => {
  console.log(title(samples))
  const { then, now } = figures(samples)
  const growth = now / then - 1
  console.log(`memory grew by ${(growth * 100).toFixed(1)} %, and ${GROWTH_MAX * 100} % may be`)
  return growth <= GROWTH_MAX
}

const between = (from, to) => from + random(to - from + 1)

// Of clients that leave in the middle of a handshake, say.
process.on('unhandledRejection', error => { throw error })
process.exit(await main() ? 0 : 1)
