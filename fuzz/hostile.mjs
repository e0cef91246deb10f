// Writes the inputs that break others (e2e/lib/hostile.mjs) into the corpora.
//
//     npm ci --prefix e2e && node fuzz/hostile.mjs
//
// Floods are ten times smaller here than there, or a hundred times where that is still
// large: what a target checks after each update takes longer than the update.
import { mkdirSync, writeFileSync } from 'node:fs'
import { frames } from '../e2e/lib/frames.mjs'
import { hostileFloods, hostileStateVectors, hostileUpdates } from '../e2e/lib/hostile.mjs'
import { bytes, concat } from '../e2e/lib/update.mjs'
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
