// The page at /, in a browser, as people meet it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startBrowser } from '../lib/browser.mjs'
import { connect } from '../lib/client.mjs'
import { jwt, startServer, token } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

// Without a secret of its own it is a server to try things with.
const DEVELOPMENT = { SYNC_SHARED_SECRET: '' }

let browser
const cleanups = []
before(async () => { browser = await startBrowser({ after: cleanup => cleanups.push(cleanup) }) })
after(async () => { for (const cleanup of cleanups.reverse()) await cleanup() })

const CONTENT = "document.getElementById('editor').shadowRoot.querySelector('.cm-content')"

/** The text that the page shows, without the names of those who write it. */
const TEXT = `(() => {
  const content = ${CONTENT}.cloneNode(true)
  for (const foreign of content.querySelectorAll('.cm-ySelectionCaret, .cm-placeholder')) foreign.remove()
  return [...content.querySelectorAll('.cm-line')].map(line => line.textContent).join('\\n')
})()`

const STATE = "document.getElementById('state').value"
const NOTICE = "document.getElementById('notice').textContent"
const CURSORS = `[...${CONTENT}.querySelectorAll('.cm-ySelectionInfo')].map(({ textContent }) => textContent)`
const PEOPLE = "[...document.querySelectorAll('#people li')].map(({ textContent }) => textContent)"

const connected = page => page.until(`${STATE} === 'Connected'`)

const called = (page, name) => page.value(`(() => {
  const input = document.getElementById('you')
  input.value = ${JSON.stringify(name)}
  input.dispatchEvent(new Event('input'))
})()`)

const submit = (page, form, field, text) => page.value(`(() => {
  document.getElementById(${JSON.stringify(field)}).value = ${JSON.stringify(text)}
  document.getElementById(${JSON.stringify(form)}).requestSubmit()
})()`)

const focus = page => page.value(`${CONTENT}.focus()`)

/** Waits until pages show one text, with as many of each character as were typed: in which order is theirs to agree on. */
const converged = (pages, counts) => eventually('the pages show one text', async () => {
  const texts = await Promise.all(pages.map(page => page.value(TEXT)))
  const isWhole = Object.entries(counts).every(([character, times]) => texts[0].split(character).length - 1 === times)
  return isWhole && texts.every(text => text === texts[0])
}, 20_000, 50)

test('two people write one document, see each other, and outlive a restart of the server', async t => {
  const server = await startServer(t, { env: DEVELOPMENT })
  const [ada, bob] = [await browser.open(`${server.http}/#plan`), await browser.open(`${server.http}/#plan`)]
  for (const page of [ada, bob]) await connected(page)
  await called(ada, 'Ada')
  await called(bob, 'Bob')

  await t.test('they type at the same time', async () => {
    await Promise.all([ada.type('aaaa\n'.repeat(5)), bob.type('bbbbbb\n'.repeat(5))])
    await converged([ada, bob], { a: 20, b: 30, '\n': 10 })
  })

  await t.test('each sees the cursor of the other, with a name', async () => {
    await ada.until(`${CURSORS}.join() === 'Bob'`)
    await bob.until(`${CURSORS}.join() === 'Ada'`)
    assert.deepEqual(await ada.value(PEOPLE), ['Ada (you)', 'Bob'])
    await called(bob, 'Barbara')
    await ada.until(`${CURSORS}.join() === 'Barbara'`)
    const color = await ada.value(`getComputedStyle(${CONTENT}.querySelector('.cm-ySelectionCaret')).borderLeftColor`)
    assert.match(color, /^oklch/, 'the policy lets cursors have colours')
  })

  await t.test('what they write while the server is away comes when it is back', async () => {
    await server.stop('SIGKILL')
    for (const page of [ada, bob]) await page.until(`${STATE} === 'Offline'`)
    await Promise.all([ada.type('cccc'), bob.type('dddd')])
    await ada.until(`${NOTICE}.includes('kept in this tab')`)
    assert.deepEqual(await ada.value(CURSORS), [], 'who cannot be reached is not there')
    await startServer(t, { dataDir: server.dataDir, port: server.port, env: DEVELOPMENT })
    for (const page of [ada, bob]) await connected(page)
    await converged([ada, bob], { a: 20, b: 30, c: 4, d: 4, '\n': 10 })
    assert.equal(await ada.value("document.getElementById('notice').hidden"), true)
    await ada.until(`${CURSORS}.join() === 'Barbara'`)
  })

  for (const page of [ada, bob]) assert.deepEqual(page.errors, [])
})

test('the address names the document, and those that were opened are remembered', async t => {
  const server = await startServer(t, { env: DEVELOPMENT })
  const page = await browser.open(`${server.http}/`)
  await connected(page)
  assert.equal(await page.value("document.getElementById('title').textContent"), 'welcome')
  await page.type('first')
  const odd = 'team/50% #1? ü'
  await submit(page, 'open', 'name', odd)
  await page.until(`document.getElementById('title').textContent === ${JSON.stringify(odd)}`)
  await connected(page)
  await focus(page)
  await page.type('second')
  const other = await browser.open(`${server.http}/#${encodeURIComponent(odd)}`)
  await other.until(`${TEXT} === 'second'`)
  const recent = await page.value("[...document.querySelectorAll('#recent a')].map(({ textContent }) => textContent)")
  assert.deepEqual(recent, [odd, 'welcome'])
  await page.value("document.querySelectorAll('#recent a')[1].click()")
  await page.until(`${TEXT} === 'first'`)
  assert.deepEqual(page.errors, [])
})

test('what was written offline is sent though another document is shown by then', async t => {
  const server = await startServer(t, { env: DEVELOPMENT })
  const page = await browser.open(`${server.http}/#left`)
  await connected(page)
  await server.stop('SIGKILL')
  await page.until(`${STATE} === 'Offline'`)
  await page.type('kept')
  await page.value("location.hash = '#other'")
  await page.until("document.getElementById('title').textContent === 'other'")
  await startServer(t, { dataDir: server.dataDir, port: server.port, env: DEVELOPMENT })
  const witness = await browser.open(`${server.http}/#left`)
  await witness.until(`${TEXT} === 'kept'`)
  await witness.until(`${PEOPLE}.length === 1`)
})

test('a server with a secret wants a token', async t => {
  const server = await startServer(t, { env: { DEMO: 'true' } })
  const page = await browser.open(`${server.http}/#plan`)
  await page.until(`${STATE} === 'Token needed'`)
  await submit(page, 'access', 'token', token('alice', { secret: 'another' }))
  await page.until(`${STATE} === 'Token refused' && ${NOTICE}.includes('signature is wrong')`)
  await submit(page, 'access', 'token', token('Zoë, alice'))
  await connected(page)
  assert.equal(await page.value("document.getElementById('access').hidden"), true)
  await focus(page)
  await page.type('hello')
  assert.equal(await page.value('location.href'), `${server.http}/#plan`)
  assert.deepEqual(await page.value("Object.entries(localStorage).filter(([, value]) => value.includes('alice'))"), [])

  const reader = await browser.open(`${server.http}/#plan`)
  await reader.until(`${STATE} === 'Token needed'`)
  await submit(reader, 'access', 'token', jwt({ access: 'read' }))
  await reader.until(`${STATE} === 'Connected, read only' && ${TEXT} === 'hello'`)
  await focus(reader)
  await reader.type('not mine')
  assert.equal(await reader.value(TEXT), 'hello')

  const expiring = await browser.open(`${server.http}/#plan`)
  await expiring.until(`${STATE} === 'Token needed'`)
  await submit(expiring, 'access', 'token', jwt({ exp: Math.floor(Date.now() / 1_000) + 3 }))
  await connected(expiring)
  await expiring.until(`${STATE} === 'Token refused' && ${NOTICE}.includes('expired')`)
  for (const { errors } of [page, reader, expiring]) assert.deepEqual(errors, [])
})

test('what others say of themselves cannot break the page', async t => {
  const server = await startServer(t, { env: { DEMO: 'true' } })
  const page = await browser.open(`${server.http}/#plan`)
  await page.until(`${STATE} === 'Token needed'`)
  await submit(page, 'access', 'token', token('alice'))
  await connected(page)
  await focus(page)
  await page.type('text')
  const states = [
    { user: { name: { toString: 1 }, color: 'red; position: fixed' }, cursor: { anchor: 7, head: [] } },
    { user: 'nobody', cursor: { anchor: { item: { client: -1, clock: 'x' } }, head: {} } },
    { user: { name: 'x'.repeat(10_000) }, cursor: { anchor: { type: null, tname: 'other', item: null }, head: null } },
    { user: { name: '<img src=x onerror=alert(1)>' } }
  ]
  for (const [index, state] of states.entries()) {
    const other = connect(t, server, 'plan')
    other.provider.awareness.setLocalState(state)
    await page.until(`${PEOPLE}.length === ${index + 2}`)
  }
  await page.type('!')
  assert.equal(await page.value(TEXT), 'text!')
  assert.ok((await page.value(PEOPLE)).every(name => name.length <= 40 + ' (you)'.length))
  assert.equal(await page.value("document.querySelectorAll('#people img').length"), 0)
  assert.deepEqual(page.errors, [])
})

test('there is no page unless it is wanted', async t => {
  const status = async (server, path) => (await fetch(server.http + path, { method: path === '/page/access' ? 'POST' : 'GET' })).status
  for (const env of [{}, { ...DEVELOPMENT, DEMO: 'false' }]) {
    const server = await startServer(t, { env })
    for (const path of ['/', '/page/editor.js', '/page/access']) assert.equal(await status(server, path), 404, path)
  }
})
