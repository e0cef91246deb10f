// Documents between real clients, through Debian's Caddy over TLS.
import { startCaddy } from '../lib/caddy.mjs'
import { startServer, token } from '../lib/server.mjs'
import { syncTests } from '../lib/sync.mjs'

/** Starts a server and a Caddy before it, which clients go through. */
const behind = show => async (t, options) => {
  const server = await startServer(t, options)
  const caddy = await startCaddy(t, [server])
  const { port, dataDir } = server
  return { port, dataDir, url: caddy.url, shows: show(caddy), stop: signal => server.stop(signal) }
}

syncTests('through Caddy, with the token in a header', behind(caddy => ({
  params: {},
  WebSocketPolyfill: caddy.socket({ Authorization: `Bearer ${token()}` })
})))

syncTests('through Caddy, with the token in the query', behind(caddy => ({
  params: { token: token() },
  WebSocketPolyfill: caddy.socket()
})))
