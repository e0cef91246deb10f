// Opens pages in Chromium without a screen, by the DevTools protocol.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { eventually } from './wait.mjs'

const CHROMIUM = process.env.YSYNCD_CHROMIUM ?? 'chromium'

/** Starts a browser, and ends it when the test does. */
export const startBrowser = async t => {
  const folder = await mkdtemp(join(tmpdir(), 'ysyncd-browser-'))
  const child = spawn(CHROMIUM, [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
    // Pages that are not in front work as those that are.
    '--disable-renderer-backgrounding', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
    `--user-data-dir=${folder}`, '--remote-debugging-port=0'
  ], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
    // Its other processes see that it is gone a little later, and write until then.
    await rm(folder, { recursive: true, maxRetries: 20, retryDelay: 100 })
  })
  const url = await listening(child)
  const socket = new WebSocket(url, { perMessageDeflate: false })
  await once(socket, 'open')
  t.after(() => socket.terminate())
  return new Browser(socket)
}

const listening = async child => {
  for await (const line of createInterface(child.stderr)) {
    const url = /^DevTools listening on (\S+)$/.exec(line)?.[1]
    if (!url) continue
    child.stderr.resume()
    return url
  }
  throw new Error(`${CHROMIUM} did not start`)
}

class Browser {
  #asked = new Map()
  #pages = new Map()
  #ids = 0

  constructor (socket) {
    this.socket = socket
    socket.on('message', data => this.#heard(JSON.parse(data)))
  }

  /**
   * A page of a person of their own, who shares nothing with others.
   * @param {{ dark?: boolean, width?: number, height?: number }} [looks]
   */
  async open (url, { dark = false, width = 1000, height = 700 } = {}) {
    const { browserContextId } = await this.send('Target.createBrowserContext')
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page(this, sessionId)
    this.#pages.set(sessionId, page)
    for (const domain of ['Page', 'Runtime', 'Log']) await page.send(`${domain}.enable`)
    await page.send('Emulation.setFocusEmulationEnabled', { enabled: true })
    await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] })
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    await page.send('Page.navigate', { url })
    return page
  }

  send (method, params = {}, sessionId) {
    const id = ++this.#ids
    this.socket.send(JSON.stringify({ id, method, params, sessionId }))
    return new Promise((resolve, reject) => this.#asked.set(id, { method, resolve, reject }))
  }

  #heard ({ id, result, error, method, params, sessionId }) {
    if (method) return this.#pages.get(sessionId)?.heard(method, params)
    const { method: asked, resolve, reject } = this.#asked.get(id)
    this.#asked.delete(id)
    if (error) reject(new Error(`${asked}: ${error.message}`))
    else resolve(result)
  }
}

class Page {
  /** What went wrong in the page, but for what the network tells. */
  errors = []

  constructor (browser, sessionId) {
    this.browser = browser
    this.sessionId = sessionId
  }

  send (method, params) {
    return this.browser.send(method, params, this.sessionId)
  }

  heard (method, params) {
    if (method === 'Runtime.exceptionThrown') this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text)
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') this.errors.push(params.args.map(({ value, description }) => value ?? description).join(' '))
    if (method === 'Log.entryAdded' && params.entry.level === 'error' && params.entry.source !== 'network') this.errors.push(params.entry.text)
  }

  /** The value of an expression in the page. */
  async value (expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Waits until an expression in the page is true, and returns its value. */
  until (expression) {
    return eventually(expression, () => this.value(expression).catch(() => false), 20_000, 50)
  }

  /** Types one character after the other into what has the focus. */
  async type (text) {
    for (const character of text) {
      const key = character === '\n' ? { key: 'Enter', text: '\r', windowsVirtualKeyCode: 13 } : { key: character, text: character }
      await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...key })
      await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...key })
    }
  }

  async screenshot () {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' })
    return Buffer.from(data, 'base64')
  }
}
