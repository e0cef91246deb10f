// A script that writes a line into a document that people have open, and prints it.
//
//   node write.mjs USER DOCUMENT LINE
//
//   APP_URL   the application server that gives it tokens (default: http://127.0.0.1:3000)
import WebSocket from 'ws'
import { open } from './open.js'

const [user, name, line] = process.argv.slice(2)
if (!line) throw new Error('usage: node write.mjs USER DOCUMENT LINE')

const askToken = async name => {
  const url = new URL('/token', process.env.APP_URL ?? 'http://127.0.0.1:3000')
  url.searchParams.set('document', name)
  const answer = await fetch(url, { headers: { cookie: `user=${user}` } })
  if (!answer.ok) throw new Error(`the application refuses ${name}: ${answer.status}`)
  return answer.json()
}

// Node has a WebSocket of its own from version 22 on.
const options = { WebSocketPolyfill: WebSocket, disableBc: true }
const [writer, reader] = await Promise.all([open(name, askToken, options), open(name, askToken, options)])
const synced = ({ provider }) => provider.synced || new Promise(resolve => provider.once('sync', resolve))
await Promise.all([writer, reader].map(synced))

// What one client wrote is durable once another one sees it.
const seen = new Promise(resolve => reader.doc.on('update', () => { if (reader.doc.getText('text').toString().includes(line)) resolve() }))
const text = writer.doc.getText('text')
text.insert(text.length, `${line}\n`)
await seen
console.log(text.toString())
writer.close()
reader.close()
