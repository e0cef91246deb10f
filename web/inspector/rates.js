// How fast counters grow.

const WINDOW_SECONDS = 5

/** Rates over the last seconds, by name. Time is the server's uptime. */
export class Rates {
  #samples = new Map()
  #now = 0

  /** A new round begins; what was not noted in the last one is forgotten. */
  begin (uptime) {
    // A server that began anew counts from zero.
    if (uptime < this.#now) this.#samples.clear()
    for (const [name, samples] of this.#samples) if (samples.at(-1).at < this.#now) this.#samples.delete(name)
    this.#now = uptime
  }

  /** Notes a counter, and says how fast it grew, or `undefined` as long as nobody can know. */
  note (name, count) {
    let samples = this.#samples.get(name)
    // One that is smaller is another of the same name.
    if (!samples || samples.at(-1).count > count) this.#samples.set(name, samples = [])
    if (samples.at(-1)?.at !== this.#now) samples.push({ at: this.#now, count })
    while (samples.length > 2 && samples[1].at <= this.#now - WINDOW_SECONDS) samples.shift()
    const first = samples[0]
    return samples.length > 1 ? (count - first.count) / (this.#now - first.at) : undefined
  }
}
