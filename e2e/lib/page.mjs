// Opens pages that the simulator draws, in a browser without a screen.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { JSDOM, VirtualConsole } from 'jsdom'
import { temporaryFolder } from './server.mjs'

const SIMULATOR = process.env.YSYNCD_SIM ? resolve(process.env.YSYNCD_SIM) : fileURLToPath(new URL('../../target/release/ysyncd-sim', import.meta.url))

// How big the picture is.
const WIDTH = 1000
const HEIGHT = 800

/** The page of the first of some seeds that a planted bug fails. */
export const failingPage = async (t, layer, bug, seeds) => {
  const file = join(await temporaryFolder(t), 'page.html')
  const run = promisify(execFile)(SIMULATOR, [layer, '--plant', bug, '--seeds', seeds, '--html', file], { maxBuffer: 1 << 26 })
  await run.then(
    () => { throw new Error(`${bug} is not found`) },
    error => { if (error.code !== 1) throw error }
  )
  return readFile(file, 'utf8')
}

/**
 * A page, and what was written into its picture since a key was pressed. Nothing is laid out or
 * painted: the picture has the size that is said here.
 */
export const openPage = async (t, html) => {
  const written = []
  const errors = []
  const virtualConsole = new VirtualConsole()
  virtualConsole.on('jsdomError', error => errors.push(error))
  const { window } = new JSDOM(html, {
    runScripts: 'dangerously',
    pretendToBeVisual: true,
    virtualConsole,
    beforeParse: window => furnish(window, written)
  })
  t.after(() => window.close())
  const page = new Page(window, written)
  await page.drawn()
  if (errors.length) throw errors[0]
  return page
}

class Page {
  constructor (window, written) {
    this.window = window
    this.written = written
  }

  text (id) {
    return this.window.document.getElementById(id).textContent
  }

  /** The value of an expression in the page's script. */
  value (expression) {
    return this.window.eval(expression)
  }

  async drawn () {
    for (let frames = 0; frames < 3; frames++) {
      await new Promise(resolve => this.window.requestAnimationFrame(resolve))
    }
  }

  async press (key) {
    this.written.length = 0
    const event = new this.window.KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })
    this.window.document.body.dispatchEvent(event)
    await this.drawn()
  }

  async mouse (type, x, y, more = {}) {
    const Event = type === 'wheel' ? this.window.WheelEvent : this.window.MouseEvent
    const event = new Event(type, { clientX: x, clientY: y, bubbles: true, cancelable: true, ...more })
    this.window.document.getElementById('picture').dispatchEvent(event)
    await this.drawn()
  }
}

// What jsdom lacks. The pen does nothing but note what it writes.
function furnish (window, written) {
  const pen = canvas => new Proxy({}, {
    get: (set, name) => {
      if (name in set) return set[name]
      if (name === 'measureText') return text => ({ width: 7 * text.length })
      if (name === 'fillText' && canvas.id === 'picture') return (text, x, y) => written.push({ text, x, y })
      return () => {}
    },
    set: (set, name, value) => { set[name] = value; return true }
  })
  const pens = new WeakMap()
  window.HTMLCanvasElement.prototype.getContext = function () {
    if (!pens.has(this)) pens.set(this, pen(this))
    return pens.get(this)
  }
  window.HTMLCanvasElement.prototype.getBoundingClientRect = () => new window.DOMRect(0, 0, WIDTH, HEIGHT)
  for (const [name, size] of [['clientWidth', WIDTH], ['clientHeight', HEIGHT]]) {
    Object.defineProperty(window.HTMLElement.prototype, name, { get: () => size })
  }
  window.matchMedia = () => ({ addEventListener () {} })
  window.ResizeObserver = class { observe () {} }
}
