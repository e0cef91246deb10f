// Mints tokens for ysyncd, as an application server does. Nothing but Node is needed.
//
//   SYNC_SHARED_SECRET=… node mint.mjs alice                  opens every document, for ever
//   SYNC_SHARED_SECRET=… node mint.mjs alice 'team/*' notes   opens these, for an hour
import { createHmac } from 'node:crypto'
import { pathToFileURL } from 'node:url'

const sign = (text, secret) => createHmac('sha256', secret).update(text).digest('base64url')

/** A plain token: it opens every document, and never expires. */
export const mintToken = (userId, secret) => `${userId}:${sign(userId, secret)}`

/**
 * A JWT: it opens these documents (one that ends with * stands for all that begin so), to read
 * only if `access` is 'read', for so many seconds.
 */
export const mintJwt = (userId, { docs, access = 'write', seconds = 3_600 }, secret) => {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1_000) + seconds
  const message = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: userId, docs, access, exp })}`
  return `${message}.${sign(message, secret)}`
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [userId, ...docs] = process.argv.slice(2)
  const secret = process.env.SYNC_SHARED_SECRET
  if (!userId || !secret) throw new Error('usage: SYNC_SHARED_SECRET=… node mint.mjs USER [DOCUMENT…]')
  console.log(docs.length ? mintJwt(userId, { docs }, secret) : mintToken(userId, secret))
}
