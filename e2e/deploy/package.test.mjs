// The Debian package: what is in it, and that its server starts and ends as its
// unit says. Nothing is installed (see install.test.mjs): what systemd would do is
// done here, without its sandbox.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { connected, converged } from '../lib/client.mjs'
import { pack, readUnit, run, unitEnvironment } from '../lib/package.mjs'
import { freePort } from '../lib/port.mjs'
import { SECRET, temporaryFolder, token } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const cleanups = []
let root, control, deb
before(async () => {
  const folder = await temporaryFolder({ after: cleanup => cleanups.push(cleanup) })
  deb = await pack(folder)
  for (const [option, name] of [['--extract', 'root'], ['--control', 'control']]) await run('dpkg-deb', option, deb, join(folder, name))
  root = join(folder, 'root')
  control = join(folder, 'control')
})
after(async () => { for (const cleanup of cleanups.reverse()) await cleanup() })

test('it holds the program, its unit, its settings and what to read', async () => {
  const listed = (await run('dpkg-deb', '--contents', deb)).trim().split('\n').map(line => line.split(/\s+/))
  const files = new Map(listed.filter(([mode]) => mode.startsWith('-')).map(([mode, owner, , , , path]) => [path.slice(1), { mode, owner }]))
  const expected = {
    '/usr/bin/ysyncd': '-rwxr-xr-x',
    '/usr/lib/systemd/system/ysyncd.service': '-rw-r--r--',
    '/etc/default/ysyncd': '-rw-------',
    '/usr/share/doc/ysyncd/copyright': '-rw-r--r--',
    '/usr/share/doc/ysyncd/README.md': '-rw-r--r--',
    '/usr/share/doc/ysyncd/OPERATIONS.md': '-rw-r--r--',
    '/usr/share/doc/ysyncd/examples/Caddyfile': '-rw-r--r--',
    '/usr/share/doc/ysyncd/examples/prometheus/alerts.yml': '-rw-r--r--'
  }
  for (const [path, mode] of Object.entries(expected)) assert.deepEqual(files.get(path), { mode, owner: '0/0' }, `${path} ${[...files.keys()].join(' ')}`)
  for (const path of files.keys()) assert.match(path, /^\/(usr\/bin\/ysyncd$|usr\/lib\/systemd\/system\/ysyncd\.service$|etc\/default\/ysyncd$|usr\/share\/doc\/ysyncd\/)/)
})

test('it says what it is and what it needs', async () => {
  const field = async name => (await run('dpkg-deb', '--field', deb, name)).trim()
  const version = (await run(join(root, 'usr/bin/ysyncd'), '--version')).trim().split(' ')[1]
  assert.equal(await field('Package'), 'ysyncd')
  assert.equal((await field('Version')).split('-')[0], version)
  for (const library of ['libc6', 'libgcc-s1']) assert.ok((await field('Depends')).includes(library))
  assert.match(await readFile(join(root, 'usr/share/doc/ysyncd/copyright'), 'utf8'), /License: MIT OR Apache-2\.0/)
  assert.equal(await readFile(join(control, 'conffiles'), 'utf8'), '/etc/default/ysyncd\n')
})

test('its scripts start nothing by themselves, and restart what runs', async () => {
  const postinst = await readFile(join(control, 'postinst'), 'utf8')
  assert.doesNotMatch(postinst, /deb-systemd-invoke (?:start|restart)/)
  assert.match(postinst, /if \[ -n "\$2" \]; then\s+deb-systemd-invoke try-restart ysyncd\.service/, 'an upgrade restarts what runs')
  assert.match(await readFile(join(control, 'prerm'), 'utf8'), /= remove \]; then\s+deb-systemd-invoke stop ysyncd\.service/)
  for (const script of ['postinst', 'prerm', 'postrm']) await run('sh', '-n', join(control, script))
})

test('systemd takes the unit', async t => {
  const found = await access('/usr/bin/systemd-analyze', constants.X_OK).then(() => true, () => false)
  if (!found) return t.skip('no systemd-analyze')
  // The unit's own words but for the place of the program, which is not installed.
  const unit = await readUnit(root)
  const copy = join(await temporaryFolder(t), 'ysyncd.service')
  await writeFile(copy, unit.text.replace('ExecStart=/usr/bin/', `ExecStart=${root}/usr/bin/`))
  const { stderr } = await promisify(execFile)('systemd-analyze', ['verify', copy])
  assert.equal(stderr, '')
  const told = await promisify(execFile)('systemd-analyze', ['security', '--offline=true', copy])
  const exposure = Number(/exposure level for .*: ([\d.]+)/.exec(told.stdout)[1])
  assert.ok(exposure < 1.6, `it is shut in less than before: ${exposure}`)
})

for (const [what, settings] of [
  ['as it is installed'],
  ['with settings of its own', { SYNC_SHARED_SECRET: SECRET, DEMO: 'false' }]
]) {
  test(`the server starts ${what}, is used, and ends in time`, async t => {
    const service = await start(t, settings)
    const ready = () => fetch(`${service.http}/readyz`).then(({ status }) => status === 200, () => false)
    await eventually('it is ready', ready)
    const page = await fetch(service.http)
    assert.equal(page.status, settings ? 404 : 200)
    if (settings) {
      const clients = await Promise.all(['alice', 'bob'].map(user => connected(t, service, 'd', { params: { token: token(user) } })))
      clients.forEach(({ doc }, i) => doc.getText('t').insert(0, `${i}`))
      await converged(clients)
    }
    const begun = Date.now()
    service.child.kill(service.unit.KillSignal)
    const [code, signal] = await service.exited
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, service.log)
    assert.ok(Date.now() - begun < 1_000 * seconds(service.unit.TimeoutStopSec))
    const files = await stat(join(service.state, settings ? '' : 'secret'))
    assert.equal(files.mode & 0o077, 0, 'nobody else reads what it writes')
  })
}

test('the time to end is longer than what the server takes', async () => {
  const { TimeoutStopSec } = await readUnit(root)
  const help = await run(join(root, 'usr/bin/ysyncd'), '--help')
  const setting = name => seconds(new RegExp(`env: ${name}=\\][^[]*\\[default: (\\w+)\\]|\\[env: ${name}=[^\\]]*\\]\\s*\\[default: (\\w+)\\]`).exec(help)?.slice(1).find(value => value))
  assert.ok(seconds(TimeoutStopSec) >= setting('SHUTDOWN_TIMEOUT') + setting('CLOSE_TIMEOUT') + 5)
})

const seconds = text => {
  const [, number, unit] = /^(\d+)(s|m|min)$/.exec(text)
  return Number(number) * (unit === 's' ? 1 : 60)
}

/** Starts what the unit starts, with the environment that it gives and in a state folder of its own. */
const start = async (t, settings) => {
  const unit = await readUnit(root)
  const state = join(await temporaryFolder(t), unit.StateDirectory)
  await mkdir(state, { mode: parseInt(unit.StateDirectoryMode, 8) })
  const [program, ...words] = unit.ExecStart.split(' ')
  const port = await freePort()
  const given = await unitEnvironment(root, unit)
  assert.equal(given.DATA_DIR, `/var/lib/${unit.StateDirectory}`)
  // DATA_DIR and PORT a test has to have otherwise.
  const env = { ...given, ...settings, DATA_DIR: state, PORT: String(port) }
  const child = spawn('/bin/sh', ['-c', `umask ${unit.UMask}; exec "$0" "$@"`, join(root, program), ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const service = { child, unit, state, log: '', http: `http://127.0.0.1:${port}`, url: `ws://127.0.0.1:${port}/sync/v1`, exited: once(child, 'exit') }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { service.log += chunk })
  t.after(() => child.kill('SIGKILL'))
  return service
}
