// What the server says of us before we open a WebSocket: a browser tells a page
// nothing of why a WebSocket was refused.

const KEY = 'ysyncd-token'

/** The token that somebody typed in this tab, or null. It is in no address and in no other tab. */
export const typedToken = () => sessionStorage.getItem(KEY)

export const typeToken = token => sessionStorage.setItem(KEY, token)

/**
 * Asks what we may do with a document. A server for this machine alone gives us
 * a token; others want the one that was typed.
 * @returns {Promise<{ token: string, readOnly: boolean } | { refused: string } | { unreachable: true }>}
 */
export const askAccess = async documentName => {
  const typed = typedToken()
  const url = new URL('page/access', document.baseURI)
  url.searchParams.set('document', documentName)
  const answer = await fetch(url, {
    method: 'POST',
    headers: typed === null ? {} : { authorization: `Bearer ${utf8(typed)}` },
    cache: 'no-store',
    signal: AbortSignal.timeout(10_000)
  }).catch(() => null)
  if (answer?.ok) {
    const said = new URLSearchParams(await answer.text())
    return { token: said.get('token') ?? typed, readOnly: said.get('access') === 'read' }
  }
  if (![400, 401, 403].includes(answer?.status)) return { unreachable: true }
  if (answer.status === 401 && typed === null) return { refused: '' }
  // Of no use any more; without one we may be given one.
  if (answer.status === 401) sessionStorage.removeItem(KEY)
  return { refused: (await answer.text()).trim() }
}

/** A header holds bytes, one for each character of a string. */
const utf8 = text => String.fromCharCode(...new TextEncoder().encode(text))
