// Waiting for what happens elsewhere.

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Asks again and again until the answer is truthy, and returns it. */
export const eventually = async (what, ask, timeoutMs = 10_000, pauseMs = 10) => {
  const end = Date.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await sleep(pauseMs)
  }
}
