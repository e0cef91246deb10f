// The Debian package installed, used, upgraded, removed and purged on a new Debian,
// which is a folder here. No systemd runs in it: what it would be told is written down,
// and what it would start is started as it would, without its sandbox.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, lstat, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { before, test } from 'node:test'
import { connected, converged } from '../lib/client.mjs'
import { newDebian, pack, readUnit, run, unitEnvironment } from '../lib/package.mjs'
import { freePort } from '../lib/port.mjs'
import { SECRET, temporaryFolder, token } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

/** A user of those that systemd makes while a service runs. */
const DYNAMIC_USER = 61_184

const SETTINGS = 'etc/default/ysyncd'
const ENABLED = 'etc/systemd/system/multi-user.target.wants/ysyncd.service'

const isRoot = process.getuid() === 0
const skip = isRoot ? false : 'a Debian of its own needs root'
before(() => assert.ok(isRoot || process.env.CI !== 'true', skip))

test('installed, used, upgraded, removed and purged', { skip }, async t => {
  const debian = await Debian.new(t)
  const first = await pack(await temporaryFolder(t))
  const second = await remade(t, first, { version: '99.1' })
  const third = await remade(t, first, { version: '99.2', settings: '#NEW=setting\n' })
  const before = await debian.files('/')
  let settings, documents

  await t.test('it is installed, and waits to be enabled', async () => {
    await debian.dpkg('--install', first)
    assert.equal(await debian.run('dpkg', '--verify', 'ysyncd'), '')
    assert.equal(await debian.state(), 'install ok installed')
    assert.deepEqual(await debian.told(), ['daemon-reload'])
    assert.ok(!await debian.has(ENABLED))
    assert.deepEqual(await debian.owned(SETTINGS), { uid: 0, gid: 0, mode: 0o600 })
    assert.deepEqual(await debian.owned('usr/bin/ysyncd'), { uid: 0, gid: 0, mode: 0o755 })
    // Its user and its folder are made when it starts.
    assert.doesNotMatch(await readFile(join(debian.root, 'etc/passwd'), 'utf8'), /ysyncd/)
    assert.ok(!await debian.has('var/lib/ysyncd'))
    assert.equal(await debian.run('systemd-analyze', 'verify', 'ysyncd.service'), '')
  })

  await t.test('enabled and with a secret it serves', async t => {
    await debian.run('/usr/bin/systemctl', '--root=/', 'enable', 'ysyncd')
    assert.ok(await debian.has(ENABLED))
    settings = `${await readFile(join(debian.root, SETTINGS), 'utf8')}SYNC_SHARED_SECRET=${SECRET}\n`
    await writeFile(join(debian.root, SETTINGS), settings)
    await serves(t, debian, '', 'written before')
    documents = await debian.documents()
    assert.ok(documents.size > 0)
  })

  await t.test('an upgrade restarts it and keeps settings and documents', async t => {
    await debian.dpkg('--install', second)
    assert.deepEqual(await debian.told(), ['daemon-reload', 'try-restart ysyncd.service'])
    await keepsAll(debian, settings, documents)
    await serves(t, debian, 'written before', 'written before and after')
    documents = await debian.documents()
  })

  await t.test('so does one that brings other settings', async () => {
    // As whoever upgrades without being asked has it.
    await debian.dpkg('--force-confold', '--install', third)
    assert.match(await readFile(join(debian.root, `${SETTINGS}.dpkg-dist`), 'utf8'), /#NEW=setting/)
    assert.deepEqual(await debian.told(), ['daemon-reload', 'try-restart ysyncd.service'])
    await keepsAll(debian, settings, documents)
  })

  await t.test('removed it is stopped, and comes back as it was', async () => {
    await debian.dpkg('--remove', 'ysyncd')
    assert.deepEqual(await debian.told(), ['stop ysyncd.service', 'daemon-reload'])
    assert.equal(await debian.state(), 'deinstall ok config-files')
    assert.ok(!await debian.has('usr/bin/ysyncd'))
    await keepsAll(debian, settings, documents)
    await debian.dpkg('--install', third)
    assert.deepEqual(await debian.told(), ['daemon-reload', 'try-restart ysyncd.service'], 'what is stopped stays so')
    await keepsAll(debian, settings, documents)
  })

  await t.test('purged it leaves the documents and nothing else', async () => {
    await debian.dpkg('--purge', 'ysyncd')
    assert.deepEqual(await debian.told(), ['stop ysyncd.service', 'daemon-reload'])
    assert.deepEqual(await debian.documents(), documents)
    const left = [...(await debian.files('/')).keys()].filter(path => !before.has(path))
    const others = left.filter(path => !path.startsWith('/var/lib/private/ysyncd') && !OF_SYSTEM.includes(path))
    assert.deepEqual(others, [])
  })
})

/** What is left that is not the package's: systemd's place for its state, and notes of dpkg. */
const OF_SYSTEM = ['/var/lib/ysyncd', '/run/systemd/systemd-units-load', '/var/log/dpkg.log', '/var/lib/dpkg/lock', '/var/lib/dpkg/triggers/Lock', '/var/log/systemctl']

const keepsAll = async (debian, settings, documents) => {
  assert.equal(await readFile(join(debian.root, SETTINGS), 'utf8'), settings)
  assert.equal((await debian.owned(SETTINGS)).mode, 0o600)
  assert.ok(await debian.has(ENABLED))
  assert.deepEqual(await debian.documents(), documents)
}

/** The server is started as the unit says; a document is there as it was, and is changed. */
const serves = async (t, debian, found, left) => {
  const service = await start(t, debian)
  await eventually('it is ready', () => fetch(`${service.http}/readyz`).then(({ status }) => status === 200, () => false))
  const clients = await Promise.all(['alice', 'bob'].map(user => connected(t, service, 'd', { params: { token: token(user) } })))
  const text = clients[0].doc.getText('t')
  assert.equal(text.toString(), found)
  text.insert(text.length, left.slice(found.length))
  await converged(clients)
  assert.equal(clients[1].doc.getText('t').toString(), left)
  for (const { provider } of clients) provider.disconnect()
  service.child.kill(service.unit.KillSignal)
  const [code, signal] = await service.exited
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, service.log)
  for (const [path, { uid, mode }] of await debian.files('/var/lib/private/ysyncd')) {
    assert.equal(uid, DYNAMIC_USER, path)
    assert.equal(mode & 0o077, 0, `${path} is for nobody else`)
  }
}

/** Does what systemd does for a unit with `DynamicUser` and `StateDirectory`, and starts its program. */
const start = async (t, debian) => {
  const unit = await readUnit(debian.root)
  assert.equal(unit.DynamicUser, 'yes')
  const [shown, kept] = ['lib', 'lib/private'].map(folder => join(debian.root, 'var', folder, unit.StateDirectory))
  if (!await debian.has('var/lib/ysyncd')) {
    await mkdir(join(debian.root, 'var/lib/private'), { recursive: true, mode: 0o700 })
    await mkdir(kept)
    await chmod(kept, parseInt(unit.StateDirectoryMode, 8))
    await chown(kept, DYNAMIC_USER, DYNAMIC_USER)
    await symlink(`private/${unit.StateDirectory}`, shown)
  }
  // Its sandbox lets it into a folder that is shut for all others.
  await chmod(join(debian.root, 'var/lib/private'), 0o711)
  const port = await freePort()
  const env = { ...await unitEnvironment(debian.root, unit), PORT: String(port) }
  const begin = `umask ${unit.UMask}; exec setpriv --reuid ${DYNAMIC_USER} --regid ${DYNAMIC_USER} --clear-groups --bounding-set -all --inh-caps -all --no-new-privs ${unit.ExecStart}`
  const child = spawn('/usr/sbin/chroot', [debian.root, '/bin/sh', '-c', begin], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const service = { child, unit, log: '', http: `http://127.0.0.1:${port}`, url: `ws://127.0.0.1:${port}/sync/v1`, exited: once(child, 'exit') }
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { service.log += chunk })
  t.after(() => child.kill('SIGKILL'))
  return service
}

/** The same package with a higher version, and more in its settings. */
const remade = async (t, deb, { version, settings = '' }) => {
  const folder = await temporaryFolder(t)
  const content = join(folder, 'content')
  await run('dpkg-deb', '--raw-extract', deb, content)
  const control = join(content, 'DEBIAN/control')
  await writeFile(control, (await readFile(control, 'utf8')).replace(/^Version: .*$/m, `Version: ${version}`))
  await writeFile(join(content, SETTINGS), settings, { flag: 'a' })
  await run('dpkg-deb', '--build', '-Znone', content, join(folder, 'ysyncd.deb'))
  return join(folder, 'ysyncd.deb')
}

/** A Debian in a folder, which takes systemd for running. */
class Debian {
  static async new (t) {
    const root = join(await temporaryFolder(t), 'debian')
    await mkdir(root)
    await run('tar', '--extract', '--file', await newDebian(), '--directory', root)
    await mkdir(join(root, 'run/systemd/system'), { recursive: true })
    await mkdir(join(root, 'usr/local/bin'), { recursive: true })
    // Found before the real one, which would do nothing here.
    const told = join(root, 'usr/local/bin/systemctl')
    await writeFile(told, '#!/bin/sh\necho "$*" >>/var/log/systemctl\n')
    await chmod(told, 0o755)
    return Object.assign(new Debian(), { root })
  }

  /** Runs a program in it. */
  run (...words) {
    return run('/usr/sbin/chroot', this.root, '/usr/bin/env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...words)
  }

  async dpkg (...words) {
    await writeFile(join(this.root, 'var/log/systemctl'), '')
    const last = words.pop()
    if (!last.endsWith('.deb')) return await this.run('dpkg', ...words, last)
    await copyFile(last, join(this.root, 'tmp', basename(last)))
    await this.run('dpkg', ...words, `/tmp/${basename(last)}`)
    await this.run('rm', `/tmp/${basename(last)}`)
  }

  /** What systemd was told by the last work of dpkg, in order and once each. */
  async told () {
    const lines = (await readFile(join(this.root, 'var/log/systemctl'), 'utf8')).split('\n').filter(Boolean)
    return [...new Set(lines.map(line => line.replace('--system ', '')))]
  }

  /** How the package stands. */
  async state () {
    return (await this.run('dpkg-query', '--show', '--showformat', '${Status}', 'ysyncd')).trim()
  }

  async has (path) {
    return await lstat(join(this.root, path)).then(() => true, () => false)
  }

  async owned (path) {
    const { uid, gid, mode } = await lstat(join(this.root, path))
    return { uid, gid, mode: mode & 0o7777 }
  }

  /** All below a folder, by path. */
  async files (folder) {
    const found = new Map()
    for (const name of await readdir(join(this.root, folder))) {
      const path = join(folder, name)
      const status = await lstat(join(this.root, path))
      found.set(path, { uid: status.uid, mode: status.mode & 0o7777, isFile: status.isFile() })
      if (status.isDirectory()) for (const [below, one] of await this.files(path)) found.set(below, one)
    }
    return found
  }

  /** What the server has written, byte for byte. */
  async documents () {
    const files = [...await this.files('/var/lib/private/ysyncd')].filter(([, { isFile }]) => isFile)
    return new Map(await Promise.all(files.map(async ([path]) => [path, await readFile(join(this.root, path), 'hex')])))
  }
}
