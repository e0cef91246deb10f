// Random numbers that are the same at every run with the same seed.

/** Returns a function of `n` that draws an integer from 0 to n - 1 (sfc32). */
export const randomOf = seed => {
  let [a, b, c, counter] = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 1]
  const next = () => {
    const t = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  return Object.assign(n => next() % n, {
    /** One of the elements. */
    of: list => list[next() % list.length],
    /** True once in `n` times. */
    once: n => next() % n === 0,
    /** A copy in random order. */
    shuffled: list => {
      const out = [...list]
      for (let i = out.length - 1; i > 0; i--) {
        const j = next() % (i + 1);
        [out[i], out[j]] = [out[j], out[i]]
      }
      return out
    }
  })
}

/**
 * A seed for what does not repeat anyway, such as faults between processes:
 * another one each time, unless YSYNCD_SEED names it. It is told with the
 * results.
 * @param {import('node:test').TestContext} t
 */
export const freshRandom = t => {
  const seed = Number(process.env.YSYNCD_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`YSYNCD_SEED=${seed}`)
  return randomOf(seed)
}
