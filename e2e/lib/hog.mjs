// A process in which one user sends what is valid and costs more than its size, on
// several connections that each keep within their limits: hog.mjs URL TOKEN SECONDS
import { once } from 'node:events'
import WebSocket from 'ws'
import { frames } from './frames.mjs'
import { contents as c, item, update } from './update.mjs'
import { sleep } from './wait.mjs'

const [url, token, seconds] = process.argv.slice(2)
const CONNECTIONS = 8
const CLIENTS = 50_000
/** A little less than INBOUND_BYTES_PER_SECOND. */
const BYTES_PER_SECOND = 3.9 * 2 ** 20

const main = async () => {
  const costly = frames.update(update(Array.from({ length: CLIENTS }, (_, i) =>
    ({ client: i + 1, structs: [item({ parent: 't' }, c.string('x'))] }))))
  const pause = costly.length / BYTES_PER_SECOND * 1000
  process.send('ready')
  await once(process, 'message')
  const end = performance.now() + Number(seconds) * 1000
  const report = { frames: 0, closed: [] }
  const hog = async number => {
    const socket = new WebSocket(`${url}/hog-${number}?token=${encodeURIComponent(token)}`)
    socket.on('error', () => {})
    await once(socket, 'open')
    socket.on('close', code => { if (performance.now() < end) report.closed.push(code) })
    while (performance.now() < end && socket.readyState === WebSocket.OPEN) {
      // What waits here is not read: more would be a burst as soon as it is.
      if (socket.bufferedAmount < costly.length) {
        socket.send(costly)
        report.frames++
      }
      await sleep(pause)
    }
    socket.terminate()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, number) => hog(number)))
  process.send(report)
  process.disconnect()
}

await main()
