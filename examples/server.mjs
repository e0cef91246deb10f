// An application server: it knows who its users are and what they may open, and
// mints tokens that say so. Documents themselves never pass through it.
//
//   SYNC_SHARED_SECRET   the secret of ysyncd
//   SYNC_URL             where ysyncd is (default: ws://127.0.0.1:1234/sync/v1)
//   PORT                 where to listen on loopback (default: 3000)
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { mintJwt } from './tokens/mint.mjs'

const { SYNC_SHARED_SECRET: secret, SYNC_URL: url = 'ws://127.0.0.1:1234/sync/v1', PORT = '3000', TOKEN_SECONDS = '300' } = process.env
if (!secret) throw new Error('set SYNC_SHARED_SECRET to the secret of ysyncd')
const seconds = Number(TOKEN_SECONDS)

/** Who asks. A real application finds out by its session; here people say who they are. */
const userOf = request => /(?:^|; )user=(\w+)/.exec(request.headers.cookie)?.[1]

/** What somebody may do with a document, or undefined. A real application asks its database. */
const accessOf = (user, document) => {
  if (document.startsWith(`${user}/`) || document.startsWith('team/')) return 'write'
  return document.startsWith('public/') ? 'read' : undefined
}

const answerToken = (request, response, document) => {
  const user = userOf(request)
  const access = user && accessOf(user, document)
  if (!access) return response.writeHead(user ? 403 : 401).end()
  // For this document alone, and for minutes: it asks again before they are over.
  const token = mintJwt(user, { docs: [document], access, seconds }, secret)
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(JSON.stringify({ url, token, seconds }))
}

const path = name => fileURLToPath(new URL(name, import.meta.url))
const html = await readFile(path('page/index.html'))
const { outputFiles: [script] } = await build({ entryPoints: [path('page/page.js')], bundle: true, format: 'esm', write: false })

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://x')
  if (pathname === '/token') return answerToken(request, response, searchParams.get('document') ?? '')
  if (pathname === '/page.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(script.contents)
  if (pathname === '/') return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html)
  response.writeHead(404).end()
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`))
