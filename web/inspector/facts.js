// Asks the server for its facts, once a second while somebody looks.

const KEY = 'ysyncd-admin-token'
const PAUSE_MS = 1_000

/** The token that somebody typed in this tab. It is in no address and in no other tab. */
export const typeToken = token => sessionStorage.setItem(KEY, token)

/** @returns {Promise<{ facts: object } | { refused: string } | { unreachable: true }>} */
const ask = async () => {
  const token = sessionStorage.getItem(KEY)
  const answer = await fetch('inspector/facts', {
    headers: token === null ? {} : { authorization: `Bearer ${utf8(token)}` },
    cache: 'no-store',
    signal: AbortSignal.timeout(10_000)
  }).catch(() => null)
  if (answer?.ok) return answer.json().then(facts => ({ facts }), () => ({ unreachable: true }))
  if (answer?.status === 401) {
    sessionStorage.removeItem(KEY)
    return { refused: token === null ? '' : 'This is not the admin token.' }
  }
  if (answer?.status === 403) return { refused: (await answer.text()).trim() }
  return { unreachable: true }
}

/** A header holds bytes, one for each character of a string. */
const utf8 = text => String.fromCharCode(...new TextEncoder().encode(text))

/** Hands every answer to `hear`, until one is a refusal; returns what begins anew. */
export const watch = hear => {
  let timer
  let round = 0
  const next = async () => {
    clearTimeout(timer)
    const ours = ++round
    const answer = await ask()
    if (ours !== round) return
    hear(answer)
    if (!('refused' in answer) && !document.hidden) timer = setTimeout(next, PAUSE_MS)
  }
  document.addEventListener('visibilitychange', () => { if (!document.hidden) next() })
  next()
  return next
}
