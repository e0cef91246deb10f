// Debian's Redis, on a free port of loopback, that keeps nothing.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { freePort } from './port.mjs'
import { temporaryFolder } from './server.mjs'
import { eventually } from './wait.mjs'

const PROGRAM = process.env.YSYNCD_TEST_REDIS

/**
 * Starts Redis and ends it when the test does.
 * @param {import('node:test').TestContext} t
 * @param {{password?: string}} [options]
 */
export const startRedis = async (t, { password } = {}) => {
  if (!PROGRAM) throw new Error('YSYNCD_TEST_REDIS is not set: run this with scripts/test nodes')
  const redis = new Redis(await freePort(), await temporaryFolder(t), password)
  t.after(() => redis.stop())
  await redis.start()
  return redis
}

class Redis {
  log = ''

  constructor (port, folder, password) {
    Object.assign(this, { port, folder, password, url: `redis://${password ? `:${password}@` : ''}127.0.0.1:${port}` })
  }

  /** Starts it on its port, again if it has been there before, and waits until it answers. */
  async start () {
    const words = ['--bind', '127.0.0.1', '--port', this.port, '--dir', this.folder, '--save', '', '--appendonly', 'no']
    if (this.password) words.push('--requirepass', this.password)
    this.child = spawn(PROGRAM, words.map(String), { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', chunk => { this.log += chunk })
    this.exited = once(this.child, 'exit')
    await eventually('Redis answers', () => {
      if (this.child.exitCode !== null) throw new Error(`Redis ended: ${this.log}`)
      return answers(this.port)
    })
  }

  /** Ends it without a word to anybody. */
  async stop () {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.exited
  }

  async restart (awayMs = 0) {
    await this.stop()
    await new Promise(resolve => setTimeout(resolve, awayMs))
    await this.start()
  }
}

const answers = port => new Promise(resolve => {
  const socket = connect(port, '127.0.0.1')
  const end = answer => {
    socket.destroy()
    resolve(answer)
  }
  socket.on('error', () => end(false))
  // With a password it says that one is needed.
  socket.on('data', () => end(true))
  socket.write('PING\r\n')
})
