// People at work.

/**
 * Has a client edit its document, a little at a time, until the test ends.
 * Returns what makes it stop before.
 * @param {import('node:test').TestContext} t
 * @param {{doc: import('yjs').Doc}} client
 * @param {ReturnType<import('./random.mjs').randomOf>} random
 * @param {{everyMs?: number, bytes?: number}} [options] how often, and how
 *   much text at most each time
 */
export const typing = (t, client, random, { everyMs = 15, bytes = 12 } = {}) => {
  const timer = setInterval(() => edit(client.doc, random, bytes), everyMs)
  const stop = () => clearInterval(timer)
  t.after(stop)
  return stop
}

const edit = (doc, random, bytes) => {
  const text = doc.getText('t')
  const map = doc.getMap('m')
  const at = random(text.length + 1)
  doc.transact(() => {
    if (random.once(6)) text.delete(at, Math.min(1 + random(5), text.length - at))
    else text.insert(at, random.of(LETTERS).repeat(1 + random(bytes)))
    if (random.once(4)) map.set(`key ${random(20)}`, random(1_000_000))
    if (random.once(40)) map.delete(`key ${random(20)}`)
  })
}

const LETTERS = ['e', 'n', 'i', 's', ' ', 'ü', '名']
