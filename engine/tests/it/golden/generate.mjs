// Makes golden.json and malformed.json beside this file from Yjs 13.6.33:
//
//     cd e2e && npm ci && node ../engine/tests/it/golden/generate.mjs
//
// The output is the same at every run; `--check` compares instead of writing.
// README.md says what the fields mean.
import { readFileSync, writeFileSync } from 'node:fs'
import { goldenUpdates } from './updates.mjs'
import { goldenMessages } from './messages.mjs'
import { malformedInputs } from './malformed.mjs'

const MADE_BY = 'yjs 13.6.33, lib0 0.2.120, y-protocols 1.0.7'

const files = {
  'golden.json': { made_by: MADE_BY, updates: goldenUpdates(), ...goldenMessages() },
  'malformed.json': { made_by: MADE_BY, inputs: malformedInputs() }
}

for (const [name, data] of Object.entries(files)) {
  const path = new URL(name, import.meta.url)
  const text = JSON.stringify(data, null, 1) + '\n'
  if (!process.argv.includes('--check')) {
    writeFileSync(path, text)
  } else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${name} is not what generate.mjs makes`)
    process.exitCode = 1
  }
}
