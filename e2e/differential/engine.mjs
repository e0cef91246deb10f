// The engine, as another process: see engine/examples/state.rs.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const BINARY = process.env.YSYNCD_STATE ??
  fileURLToPath(new URL('../../target/release/examples/state', import.meta.url))

export class Engine {
  constructor () {
    this.child = spawn(BINARY, { stdio: ['pipe', 'pipe', 'inherit'] })
    /** Questions asked, and how many of them were answered. */
    this.waiting = []
    this.answered = 0
    this.outgoing = []
    this.input = Buffer.alloc(0)
    this.child.stdout.on('data', chunk => this.#read(chunk))
    this.child.on('error', error => this.#fail(error))
    this.child.on('exit', code => this.#fail(new Error(`the engine ended with ${code}`)))
    this.child.stdin.on('error', error => this.#fail(error))
  }

  /** One of its documents. Slots are numbers below 256. */
  document (slot) {
    return new EngineDocument(this, slot)
  }

  stop () {
    this.child.stdin.end()
  }

  ask (operation, slot, operand = new Uint8Array()) {
    const head = Buffer.alloc(6)
    head.writeUInt32LE(operand.length + 2)
    head.write(operation, 4, 'latin1')
    head[5] = slot
    this.outgoing.push(head, operand)
    // Questions asked in one go are sent in one go.
    if (this.outgoing.length === 2) queueMicrotask(() => this.child.stdin.write(Buffer.concat(this.outgoing.splice(0))))
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }

  #read (chunk) {
    this.input = this.input.length ? Buffer.concat([this.input, chunk]) : chunk
    let at = 0
    while (this.input.length >= at + 4) {
      const end = at + 4 + this.input.readUInt32LE(at)
      if (this.input.length < end) break
      this.waiting[this.answered++].resolve(new Uint8Array(this.input.subarray(at + 4, end)))
      at = end
    }
    this.input = this.input.subarray(at)
    // Not one by one: that takes time linear in the length of the queue.
    if (this.answered === this.waiting.length) this.answered = this.waiting.length = 0
  }

  #fail (error) {
    for (const { reject } of this.waiting.splice(this.answered)) reject(error)
  }
}

class EngineDocument {
  constructor (engine, slot) {
    this.engine = engine
    this.slot = slot
  }

  /**
   * Adds an update and says what is to be relayed: what of it was new, and
   * what had come too early before it.
   * @returns {Promise<{error?: string, newPart?: Uint8Array | null, resend?: Uint8Array | null}>}
   */
  async apply (update) {
    const answer = await this.engine.ask('a', this.slot, update)
    if (answer[0] === 0) return { error: Buffer.from(answer.subarray(1)).toString() }
    const view = new DataView(answer.buffer, answer.byteOffset)
    let at = 1
    const readPart = () => {
      const kind = answer[at++]
      if (kind === 0) return null
      if (kind === 1) return update
      const start = at + 4
      at = start + view.getUint32(at, true)
      return answer.subarray(start, at)
    }
    return { newPart: readPart(), resend: readPart() }
  }

  stateVector () { return this.engine.ask('v', this.slot) }
  diff (stateVector) { return this.engine.ask('d', this.slot, stateVector) }
  encode () { return this.engine.ask('e', this.slot) }
  compact (gc) { return this.engine.ask('c', this.slot, new Uint8Array([gc ? 1 : 0])) }
  copyFrom ({ slot }) { return this.engine.ask('k', this.slot, new Uint8Array([slot])) }
  reset () { return this.engine.ask('r', this.slot) }

  async structBytes () {
    const answer = await this.engine.ask('s', this.slot)
    return Number(new DataView(answer.buffer, answer.byteOffset).getBigUint64(0, true))
  }
}
