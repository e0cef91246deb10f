// Writes the inputs that break others (e2e/lib/hostile.mjs) into the corpora.
//
//     npm ci --prefix e2e && node fuzz/hostile.mjs
//
// Floods are ten times smaller here than there, or a hundred times where that is still
// large: what a target checks after each update takes longer than the update.
import { mkdirSync, writeFileSync } from 'node:fs'
import { frames } from '../e2e/lib/frames.mjs'
import { hostileFloods, hostileStateVectors, hostileUpdates } from '../e2e/lib/hostile.mjs'
import { bytes, concat, unhex } from '../e2e/lib/update.mjs'
import * as encoding from '../e2e/node_modules/lib0/encoding.js'

const NOBODY = new Uint8Array([0])
const LARGE_BYTES = 128 << 10

const write = (target, name, input) => {
  const folder = new URL(`corpus/${target}/`, import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(`hostile-${name.replaceAll(/[^a-z0-9^]+/gi, '-')}`, folder), input)
}

const withLength = input => bytes(e => encoding.writeVarUint8Array(e, input))

const size = ({ updates }) => updates.reduce((sum, update) => sum + update.length, 0)
const smaller = hostileFloods(100)
const floods = hostileFloods(10).map((flood, i) => size(flood) > LARGE_BYTES ? smaller[i] : flood)

for (const { name, updates } of [...hostileUpdates(), ...floods]) {
  write('update', name, concat(...updates.map(withLength), NOBODY))
  write('snapshot', name, concat(...updates.slice(0, 2).map(withLength), ...updates.length < 2 ? [NOBODY] : [], NOBODY))
  write('frames', name, concat(...updates.map(frames.update)))
  for (const [i, update] of updates.slice(0, 2).entries()) write('update_diff_merge', `${name}-${i}`, concat([1], update))
}
for (const { name, bytes: vector } of hostileStateVectors()) {
  write('state_vector', name, vector)
  write('frames', name, frames.step1(vector))
}

// What targets take that are told of a structure is made of bytes by the crate
// arbitrary: before each element of a list stands 1, behind the last 0, and a
// variant is a part of the range of 32 bits.
const list = elements => concat(...elements.map(element => concat([1], element)), [0])
const blob = input => list(Array.from(input, byte => [byte]))
const variant = (at, of) => new Uint8Array(new Uint32Array([Math.ceil(at * 2 ** 32 / of)]).buffer)

const NODE_AND_INCARNATION = unhex('00000000000000020000000000000001')
for (const { name, updates } of smaller) {
  const messages = updates.slice(0, 2).map(update => concat([1, 0], NODE_AND_INCARNATION, update))
  write('bus', name, list(messages.map(blob)))
  // No journal, high limits. Somebody opens a document of which this is stored,
  // and sends it as well.
  const steps = [
    concat(variant(0, 11), [1, 1, 0, 0]),
    concat(variant(8, 11), [0], variant(1, 5), blob(updates[0])),
    concat(variant(2, 11), [0], blob(updates.at(-1)))
  ]
  write('engine_inputs', name, concat([0, 0, 0, 0, 0], list(steps)))
}
