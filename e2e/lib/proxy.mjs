// What stands between a server and its store, and may misbehave.
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { ENDPOINT } from './s3.mjs'
import { sleep } from './wait.mjs'

/**
 * Starts an HTTP proxy on a free loopback port. It passes requests on as they
 * came, `Host` included, which their signature covers.
 * @param {import('node:test').TestContext} t
 */
export const startProxy = async (t, upstream = ENDPOINT) => {
  const proxy = new StoreProxy(new URL(upstream))
  t.after(() => proxy.close())
  await proxy.listen()
  return proxy
}

/** What may become of a request. */
const fates = {
  passed: async exchange => exchange.answer(await exchange.forward()),
  // Slow on its way there, or on its way back: then others may be faster.
  sentLate: async (exchange, random) => {
    await sleep(random(300))
    exchange.answer(await exchange.forward())
  },
  answeredLate: async (exchange, random) => {
    const answer = await exchange.forward()
    await sleep(random(300))
    exchange.answer(answer)
  },
  // It took effect, and nobody is told, or is told something else.
  answerLost: async exchange => {
    await exchange.forward()
    exchange.reset()
  },
  answerReplaced: async (exchange, random) => {
    await exchange.forward()
    exchange.answer({ status: random.of([500, 502, 503, 504]) })
  },
  answerTorn: async exchange => exchange.tear(await exchange.forward()),
  // It takes effect twice, if the store lets it.
  twiceFirst: async exchange => {
    const [first] = await Promise.all([exchange.forward(), exchange.forward()])
    exchange.answer(first)
  },
  twiceSecond: async exchange => {
    await exchange.forward()
    exchange.answer(await exchange.forward())
  },
  againLater: async (exchange, random) => {
    exchange.answer(await exchange.forward())
    await sleep(random(1500))
    await exchange.forward()
  },
  // It takes no effect.
  reset: async exchange => exchange.reset(),
  unavailable: async exchange => exchange.answer({ status: 503 }),
  held: async (exchange, _, proxy) => { proxy.held.push(exchange) }
}

class StoreProxy {
  /** How many requests had which fate. */
  counts = {}
  held = []
  #underWay = new Set()
  #next = () => ['passed']

  constructor (upstream) {
    this.upstream = upstream
    this.server = createServer((request, response) => {
      const work = this.#serve(request, response).catch(error => response.destroy(error))
      this.#underWay.add(work)
      work.finally(() => this.#underWay.delete(work))
    })
    this.server.on('clientError', (_, socket) => socket.destroy())
  }

  async listen () {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    this.url = `http://127.0.0.1:${this.server.address().port}`
  }

  close () {
    this.server.close()
    this.server.closeAllConnections()
  }

  /** Nothing gets through: connections are reset, or a gateway says so. */
  down () {
    let turn = 0
    this.#next = () => [turn++ % 2 ? 'reset' : 'unavailable']
  }

  /** Nothing gets through, and nobody is told. */
  hang () {
    this.#next = () => ['held']
  }

  /** Half of the requests go wrong, each way equally often. */
  storm (random) {
    const wrong = Object.keys(fates).filter(fate => fate !== 'passed' && fate !== 'held')
    const deck = [...wrong, ...wrong.map(() => 'passed')]
    let dealt = []
    this.#next = () => {
      if (dealt.length === 0) dealt = random.shuffled(deck)
      return [dealt.pop(), random]
    }
  }

  /** From now on all goes well. Waits for what is still to go wrong. */
  async heal () {
    this.#next = () => ['passed']
    for (const exchange of this.held.splice(0)) exchange.reset()
    await Promise.all(this.#underWay)
  }

  async #serve (request, response) {
    const body = Buffer.concat(await request.toArray())
    const [fate, random] = this.#next()
    this.counts[fate] = (this.counts[fate] ?? 0) + 1
    await fates[fate](new Exchange(this.upstream, request, response, body), random, this)
  }
}

/** One request, and the answer that is to be given. */
class Exchange {
  constructor (upstream, request, response, body) {
    Object.assign(this, { upstream, request, response, body })
  }

  /** Sends the request to the store; may be done more than once. */
  async forward () {
    const { method, url: path, rawHeaders: headers } = this.request
    const { hostname: host, port } = this.upstream
    const request = httpRequest({ host, port, method, path, headers, agent: false })
    request.end(this.body)
    const [response] = await once(request, 'response')
    return {
      status: response.statusCode,
      headers: response.rawHeaders,
      body: Buffer.concat(await response.toArray())
    }
  }

  answer ({ status, headers = [], body = '' }) {
    this.response.writeHead(status, headers).end(body)
  }

  /** Half of the answer, as when a connection breaks. */
  tear ({ status, headers, body }) {
    this.response.writeHead(status, headers)
    this.response.write(body.subarray(0, body.length / 2), () => this.reset())
  }

  reset () {
    const { socket } = this.request
    // A socket that is reset while it is shut down is never closed, and Node 20
    // waits for it at the end of the process, for ever.
    if (socket.writable) socket.resetAndDestroy()
    else socket.destroy()
  }
}
