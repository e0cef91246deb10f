// Debian's Caddy with the configuration that is shipped, on free ports.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import WebSocket from 'ws'
import { freePort } from './port.mjs'
import { temporaryFolder } from './server.mjs'
import { eventually } from './wait.mjs'

const PROGRAM = process.env.YSYNCD_CADDY
const CONFIGURATION = fileURLToPath(new URL('../../deploy/Caddyfile', import.meta.url))

/**
 * Starts Caddy before these servers and ends it when the test does.
 * @param {import('node:test').TestContext} t
 * @param {{port: number}[]} servers
 */
export const startCaddy = async (t, servers) => {
  // Somebody else may take a port that was free, for TCP or for QUIC.
  for (let left = 3; ; left--) {
    const caddy = await newCaddy(t, servers)
    try {
      await caddy.ready()
      return caddy
    } catch (error) {
      if (left === 1) throw new Error(`${error.message}: ${caddy.log}`)
      await caddy.stop()
    }
  }
}

const newCaddy = async (t, servers) => {
  const folder = await temporaryFolder(t)
  const [port, admin] = [await freePort(), await freePort()]
  const configuration = join(folder, 'Caddyfile')
  // What a test has to have otherwise: loopback only, no port that needs rights
  // or may be taken, no authority put into the machine's list of trusted ones.
  await writeFile(configuration, `{
    admin localhost:${admin}
    auto_https disable_redirects
    skip_install_trust
    default_bind 127.0.0.1
  }
  import ${CONFIGURATION}
  `)
  const caddy = new Caddy({ folder, configuration, port, nodes: servers.map(({ port }) => `127.0.0.1:${port}`) })
  t.after(() => caddy.stop())
  return caddy
}

class Caddy {
  log = ''

  constructor ({ folder, configuration, port, nodes }) {
    Object.assign(this, { configuration, port, url: `wss://localhost:${port}/sync/v1` })
    this.root = join(folder, 'caddy/pki/authorities/local/root.crt')
    this.env = {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_DATA_HOME: folder,
      XDG_CONFIG_HOME: folder,
      YSYNCD_SITE: `https://localhost:${port}`,
      YSYNCD_NODES: nodes.join(' ')
    }
    this.child = this.#run(['run'])
    this.exited = once(this.child, 'exit')
  }

  #run (words) {
    const child = spawn(PROGRAM, [...words, '--config', this.configuration, '--adapter', 'caddyfile'], { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { this.log += chunk })
    return child
  }

  #runs () {
    if (this.child.exitCode !== null) throw new Error('Caddy ended')
  }

  async ready () {
    await eventually('Caddy has made its certificates', async () => {
      this.#runs()
      return await access(this.root).then(() => true, () => false)
    })
    this.authority = await readFile(this.root)
    await eventually('Caddy answers', () => new Promise(resolve => {
      this.#runs()
      const socket = new WebSocket(`${this.url}/x`, { ca: this.authority })
      socket.on('error', () => resolve(false))
      // Who shows no token is not let in, by the server.
      socket.on('unexpected-response', (request, response) => {
        request.destroy()
        resolve(response.statusCode === 401)
      })
    }))
  }

  /** Has it read its configuration anew, which closes all WebSockets. */
  async reload () {
    // What is unchanged would stay as it is.
    const [code] = await once(this.#run(['reload', '--force']), 'exit')
    if (code !== 0) throw new Error(`Caddy was not reloaded: ${this.log}`)
  }

  /** What y-websocket connects with: it trusts this Caddy, and sends these headers. */
  socket (headers = {}) {
    const options = { ca: this.authority, headers }
    return class extends WebSocket {
      constructor (url, protocols) {
        super(url, protocols, options)
      }
    }
  }

  async stop () {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.exited
  }
}
