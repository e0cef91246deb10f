// The bucket of the S3 tests, as the server is told of it and as a test looks
// into it. scripts/s3-servers starts the store.
import { createHash, createHmac } from 'node:crypto'

export const ENDPOINT = process.env.YSYNCD_TEST_S3_SEAWEED
if (!ENDPOINT && process.env.CI === 'true') throw new Error('no S3 server: run this under scripts/s3-servers')

/** Why S3 tests are skipped, if they are. */
export const noS3 = !ENDPOINT && 'no S3 server: run this under scripts/s3-servers'

const {
  YSYNCD_TEST_S3_BUCKET: BUCKET,
  AWS_REGION: REGION,
  AWS_ACCESS_KEY_ID: KEY_ID,
  AWS_SECRET_ACCESS_KEY: KEY
} = process.env

/** A part of the bucket that nobody else uses. */
export class Shelf {
  static count = 0
  prefix = `e2e-${process.pid}-${Date.now()}-${Shelf.count++}`

  /** What a server is told, that keeps its documents here. */
  env (endpoint = ENDPOINT) {
    return {
      S3_BUCKET: BUCKET,
      S3_PREFIX: this.prefix,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: REGION,
      AWS_ACCESS_KEY_ID: KEY_ID,
      AWS_SECRET_ACCESS_KEY: KEY
    }
  }

  /** The stored object of a document; null if there is none. */
  async read (id) {
    const response = await this.#send('GET', id)
    const body = new Uint8Array(await response.arrayBuffer())
    if (response.status === 404) return null
    if (!response.ok) throw new Error(`S3 answered ${response.status}: ${Buffer.from(body)}`)
    return body
  }

  /** Puts an object there, whatever there was. */
  async write (id, body) {
    const response = await this.#send('PUT', id, body)
    if (!response.ok) throw new Error(`S3 answered ${response.status}: ${await response.text()}`)
  }

  #send (method, id, body) {
    const name = `${encodeURIComponent(id)}.bin`
    const path = ['', BUCKET, this.prefix, name].map(encodeURIComponent).join('/')
    const headers = signed({ method, path, body, host: new URL(ENDPOINT).host })
    return fetch(`${ENDPOINT}${path}`, { method, body, headers, signal: AbortSignal.timeout(30_000) })
  }
}

/** The headers of a request, signed as AWS does it (Signature Version 4). */
const signed = ({ method, path, body = '', host }) => {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${REGION}/s3/aws4_request`
  const headers = { host, 'x-amz-content-sha256': sha256(body), 'x-amz-date': time }
  const names = Object.keys(headers).join(';')
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('')
  const request = [method, path, '', lines, names, sha256(body)].join('\n')
  const key = scope.split('/').reduce((key, part) => hmac(key, part).digest(), `AWS4${KEY}`)
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n')).digest('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${KEY_ID}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return { ...headers, authorization }
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')
const hmac = (key, text) => createHmac('sha256', key).update(text)
