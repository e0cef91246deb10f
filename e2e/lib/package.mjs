// The Debian package, and its unit as systemd reads it.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { BINARY } from './server.mjs'

const script = name => fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url))

/** Runs a program and gives what it prints. */
export const run = async (program, ...words) => (await promisify(execFile)(program, words, { maxBuffer: 1 << 24 })).stdout

/** Makes the package in a folder. Gives its path. */
export const pack = async folder => {
  const env = { ...process.env, YSYNCD_BIN: BINARY }
  return (await promisify(execFile)(script('package'), [folder], { env })).stdout.trim()
}

/** The tar of a new Debian, which is made if there is none yet. */
export const newDebian = async () => (await run(script('debian-root'))).trim()

/** The unit's text, and its settings by name. */
export const readUnit = async root => {
  const text = await readFile(join(root, 'usr/lib/systemd/system/ysyncd.service'), 'utf8')
  const lines = text.split('\n').filter(line => line && !/^[#;[]/.test(line))
  return { text, ...Object.fromEntries(lines.map(line => line.split(/=(.*)/s))) }
}

/** What the unit gives its program: its own variables, and below them those of its file. */
export const unitEnvironment = async (root, unit) => ({
  PATH: '/usr/bin:/bin',
  ...Object.fromEntries(unit.Environment.split(' ').map(pair => pair.split('='))),
  ...variables(await readFile(join(root, unit.EnvironmentFile.replace(/^-/, '')), 'utf8'))
})

/** Variables as systemd reads them from a file. */
const variables = text => Object.fromEntries(
  text.split('\n').filter(line => line && !line.startsWith('#')).map(line => line.split(/=(.*)/s)))
