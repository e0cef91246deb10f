// Recorded editing sessions, see traces/README.md in the shared folder.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

const SHARED = process.env.YSYNCD_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url))

/** Whether the traces can be read. With CI=true their absence is an error. */
export const tracesAreHere = () => {
  const here = existsSync(join(SHARED, 'traces'))
  if (!here && process.env.CI === 'true') throw new Error(`no traces in ${SHARED}`)
  return here
}

export const loadTrace = name => JSON.parse(gunzipSync(readFileSync(join(SHARED, 'traces', `${name}.json.gz`))))

/** Plays a trace into `doc`, one transaction for each patch of it. */
export function * play (trace, doc) {
  const text = doc.getText('text')
  if (trace.startContent) text.insert(0, trace.startContent)
  for (const [position, deleted, inserted] of trace.txns.flatMap(({ patches }) => patches)) {
    doc.transact(() => {
      if (deleted > 0) text.delete(position, deleted)
      if (inserted) text.insert(position, inserted)
    })
    yield
  }
}
