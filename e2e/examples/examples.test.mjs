// What is in examples/, run as its readers would.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startBrowser } from '../lib/browser.mjs'
import { connect, connected } from '../lib/client.mjs'
import { SECRET, startServer } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url))

let browser
const cleanups = []
before(async () => { browser = await startBrowser({ after: cleanup => cleanups.push(cleanup) }) })
after(async () => { for (const cleanup of cleanups.reverse()) await cleanup() })

const run = async (program, words, env = {}) => {
  const { stdout } = await promisify(execFile)(program, words, { cwd: EXAMPLES, env: { PATH: process.env.PATH, ...env }, timeout: 20_000 })
  return stdout.trimEnd()
}

for (const [program, file] of [['node', 'tokens/mint.mjs'], ['python3', 'tokens/mint.py']]) {
  test(`${file} mints tokens of both kinds`, async t => {
    const server = await startServer(t)
    const mint = (...words) => run(program, [file, ...words], { SYNC_SHARED_SECRET: SECRET })
    const [plain, jwt] = [await mint('zoë:1'), await mint('zoë', 'team/*', 'notes')]
    const open = (document, token) => connected(t, server, document, { params: { token } })
    const [{ doc }, other] = [await open('anything', plain), await open('anything', plain)]
    doc.getText('t').insert(0, 'x')
    await eventually('the edit arrives', () => other.doc.getText('t').toString() === 'x')
    for (const document of ['team/plan', 'notes']) await open(document, jwt)
    const refused = connect(t, server, 'notes2', { params: { token: jwt } })
    await once(refused.provider, 'connection-error')
    assert.ok(!refused.provider.synced)
    const { exp } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'))
    assert.ok(Math.abs(exp - Date.now() / 1_000 - 3_600) < 60)
  })
}

/** Starts the application and says where it is. */
const startApplication = async (t, server, env = {}) => {
  const child = spawn('node', ['server.mjs'], {
    cwd: EXAMPLES,
    env: { PATH: process.env.PATH, SYNC_SHARED_SECRET: SECRET, SYNC_URL: server.url, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const [line] = await once(child.stdout, 'data')
  return String(line).trim()
}

const open = (page, user, document) => page.value(`(() => {
  document.getElementById('user').value = ${JSON.stringify(user)}
  document.getElementById('document').value = ${JSON.stringify(document)}
  document.getElementById('open').requestSubmit()
})()`)

const STATE = "document.getElementById('state').value"
const TEXT = "document.getElementById('text').value"

test('people write a text, with a script, for longer than a token is good', async t => {
  const server = await startServer(t)
  const url = await startApplication(t, server, { TOKEN_SECONDS: '3' })
  const [ada, bob] = [await browser.open(url), await browser.open(url)]
  for (const [page, user] of [[ada, 'ada'], [bob, 'bob']]) {
    await page.until("document.readyState === 'complete' && document.getElementById('open') !== null")
    await open(page, user, 'team/plan')
    await page.until("!document.getElementById('text').disabled")
    await page.value("document.getElementById('text').focus()")
  }
  await ada.type('hello ')
  await bob.until(`${TEXT} === 'hello '`)
  await bob.until("document.getElementById('people').textContent.split(', ').sort().join() === 'ada,bob'")
  const printed = await run('node', ['write.mjs', 'robot', 'team/plan', 'a line of a script'], { APP_URL: url })
  assert.equal(printed, 'hello a line of a script')
  for (const page of [ada, bob]) await page.until(`${TEXT} === 'hello a line of a script\\n'`)

  // By then the tokens that they came with have expired, and their connections with them.
  await eventually('connections end with their tokens', async () =>
    /connections_closed_total\{code="4401"\} [2-9]/.test(await (await fetch(`${server.http}/metrics`)).text()))
  await ada.value("document.getElementById('text').setSelectionRange(0, 0)")
  await ada.type('still ')
  await bob.until(`${TEXT}.startsWith('still hello')`)
  assert.deepEqual([...ada.errors, ...bob.errors], [])
})

test('nobody gets a token for what is not theirs', async t => {
  const server = await startServer(t)
  const url = await startApplication(t, server)
  const page = await browser.open(url)
  await page.until("document.readyState === 'complete' && document.getElementById('open') !== null")
  await open(page, 'ada', 'bob/diary')
  await page.until(`${STATE} === 'You may not open this document.'`)
  await open(page, 'ada', 'public/notes')
  await page.until(`${STATE} === 'connected'`)
  const status = async (path, cookie) => (await fetch(new URL(path, url), { headers: { cookie } })).status
  assert.equal(await status('/token?document=team%2Fplan', ''), 401)
  assert.equal(await status('/token?document=bob%2Fdiary', 'user=ada'), 403)
  assert.equal(await status('/token?document=ada%2Fdiary', 'user=ada'), 200)
  await assert.rejects(run('node', ['write.mjs', 'ada', 'bob/diary', 'x'], { APP_URL: url }))
  assert.deepEqual(page.errors, [])
})
