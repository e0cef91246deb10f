// The page at /inspector, in a browser, while people write in two others.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { startBrowser } from '../lib/browser.mjs'
import { connected } from '../lib/client.mjs'
import { startRedis } from '../lib/redis.mjs'
import { startServer, temporaryFolder, token } from '../lib/server.mjs'

const ADMIN_TOKEN = 'an-admin-token-of-the-tests'
// Where to put pictures of it, if somebody wants to look.
const PICTURES = process.env.YSYNCD_PICTURES

let browser
const cleanups = []
before(async () => { browser = await startBrowser({ after: cleanup => cleanups.push(cleanup) }) })
after(async () => { for (const cleanup of cleanups.reverse()) await cleanup() })

const STATE = "document.getElementById('state').value"
const DOCUMENTS = "[...document.querySelectorAll('#documents th button')].map(({ textContent }) => textContent)"

const LOOKS = {
  'light wide': { width: 1280, height: 800 },
  'dark wide': { width: 1280, height: 800, dark: true },
  'light narrow': { width: 390, height: 844 },
  'dark narrow': { width: 390, height: 844, dark: true },
  medium: { width: 820, height: 700 }
}

/** What a column says of a document. */
const cell = (id, column) => `[...document.querySelectorAll('#documents > tbody')]
  .find(body => body.querySelector('th button').textContent === ${JSON.stringify(id)})
  ?.querySelector('tr:first-child > [data-label="${column}"]').textContent`

/** A column of the connections of the documents that are open in the table. */
const connections = column => `[...document.querySelectorAll('.connections [data-label="${column}"]')].map(({ textContent }) => textContent)`

const TOTALS = "[...document.querySelectorAll('#totals dt')].map(({ textContent }) => textContent)"

const total = (name, part = 'b') => `[...document.querySelectorAll('#totals > div')].find(group => group.querySelector('dt').textContent === '${name}').querySelector('${part}').textContent`

const look = (page, text) => page.value(`(() => {
  document.getElementById('token').value = ${JSON.stringify(text)}
  document.getElementById('access').requestSubmit()
})()`)

const filter = (page, text) => page.value(`(() => {
  const input = document.getElementById('filter')
  input.value = ${JSON.stringify(text)}
  input.dispatchEvent(new Event('input'))
})()`)

const picture = async (page, name) => {
  if (!PICTURES) return
  await mkdir(PICTURES, { recursive: true })
  await writeFile(`${PICTURES}/${name}.png`, await page.screenshot())
}

test('two editors show as they are, and the server when it is gone and back', async t => {
  const server = await startServer(t, { env: { SYNC_SHARED_SECRET: '' } })
  const editors = [await browser.open(`${server.http}/#plan`), await browser.open(`${server.http}/#plan`)]
  for (const page of editors) await page.until(`${STATE} === 'Connected'`)
  const inspector = await browser.open(`${server.http}/inspector`)
  await inspector.until(`${STATE} === 'Live'`)

  await t.test('both connections show, with whose they are', async () => {
    await inspector.until(`${cell('plan', 'Connections')} === '2'`)
    assert.deepEqual(await inspector.value(connections('User')), ['demo', 'demo'])
    assert.equal(await inspector.value(total('Connections')), '2')
  })

  await t.test('what they type counts, is durable at once and saved a little later', async () => {
    await Promise.all(editors.map(page => page.type('abcdefgh')))
    await inspector.until(`${cell('plan', 'Changes')} === '16'`)
    await inspector.until(`${cell('plan', 'Durable')} === 'all'`)
    assert.notEqual(await inspector.value(cell('plan', 'Per second')), '0')
    await inspector.until(`${cell('plan', 'Clients')} === '2'`)
    await inspector.until(`${cell('plan', 'Saved')}.startsWith('all, ')`)
  })

  await t.test('the document that changed last comes first', async () => {
    await connected(t, server, 'other', { params: { token: await demoToken(server) } })
    await inspector.until(`${DOCUMENTS}.join() === 'plan,other'`)
    const { doc } = await connected(t, server, 'other', { params: { token: await demoToken(server) } })
    doc.getText('t').insert(0, 'x')
    await inspector.until(`${DOCUMENTS}.join() === 'other,plan'`)
    await filter(inspector, 'PLA')
    assert.deepEqual(await inspector.value(DOCUMENTS), ['plan'])
    await filter(inspector, 'nobody')
    assert.deepEqual(await inspector.value(DOCUMENTS), [])
    await filter(inspector, '')
  })

  await t.test('a server that is away is told, and seen again when it is back', async () => {
    const { port, dataDir } = server
    await server.stop()
    await inspector.until(`${STATE} === 'No answer'`)
    assert.deepEqual(await inspector.value(DOCUMENTS), ['other', 'plan'], 'what was there is still to be read')
    await startServer(t, { port, dataDir, env: { SYNC_SHARED_SECRET: '' } })
    await inspector.until(`${STATE} === 'Live'`)
    await inspector.until(`${cell('plan', 'Connections')} === '2'`)
  })
  assert.deepEqual(inspector.errors, [])
})

test('a token opens it where one is set, and is kept in the tab alone', async t => {
  const server = await startServer(t, { env: { ADMIN_TOKEN } })
  const page = await browser.open(`${server.http}/inspector`)
  const isAsked = "!document.getElementById('access').hidden && document.querySelector('main').hidden"
  await page.until(isAsked)
  await picture(page, 'token')
  await look(page, 'wrong')
  await page.until("document.getElementById('refused').textContent.includes('not the admin token')")
  await look(page, ADMIN_TOKEN)
  await page.until(`${STATE} === 'Live'`)
  await page.until("document.getElementById('empty').textContent === 'No document is in memory.'")
  assert.ok(!(await page.value('location.href')).includes(ADMIN_TOKEN))
  assert.equal(await page.value("localStorage.length + document.cookie.length"), 0)
  await page.send('Page.reload')
  await page.until(`${STATE} === 'Live'`)
  const other = await browser.open(`${server.http}/inspector`)
  await other.until(isAsked)
  assert.ok(!server.log.includes(ADMIN_TOKEN))
  assert.deepEqual([...page.errors, ...other.errors], [])
})

test('what a name holds is text, and nothing is wider than the window', async t => {
  const server = await startServer(t, { env: { ADMIN_TOKEN } })
  const names = ['<img src=x onerror=alert(1)>', 'notes/2026/'.repeat(25), 'team/plan', 'team/minutes', 'a']
  const clients = []
  for (const [i, name] of names.entries()) {
    for (const user of ['alice', 'bob', `${'carol.'.repeat(40)}@example.org`].slice(0, i + 1)) {
      clients.push(await connected(t, server, encodeURIComponent(name), { params: { token: token(user) } }))
    }
  }
  const write = () => clients.forEach(({ doc }, i) => doc.getText('t').insert(0, `${i} and some words. `))
  write()
  for (const [looks, options] of Object.entries(LOOKS)) {
    const page = await browser.open(`${server.http}/inspector`, options)
    await page.until("!document.getElementById('access').hidden")
    await look(page, ADMIN_TOKEN)
    await page.until(`${DOCUMENTS}.length === ${names.length}`)
    assert.deepEqual((await page.value(DOCUMENTS)).sort(), [...names].sort())
    assert.equal(await page.value("document.querySelectorAll('#documents img').length"), 0)
    await page.until("[...document.querySelectorAll('#documents th button')].at(-1).click() ?? document.querySelectorAll('.connections').length > 1")
    write()
    await page.until(`${total('Messages in')} !== '…/s'`)
    assert.ok(await page.value('document.documentElement.scrollWidth <= innerWidth'), `${looks}: nothing sticks out`)
    await picture(page, looks.replace(' ', '-'))
    assert.deepEqual(page.errors, [])
  }
})

test('a server tells whether it hears the others, and what comes from them', async t => {
  const redis = await startRedis(t)
  const dataDir = await temporaryFolder(t)
  const [here, there] = await Promise.all(['a', 'b'].map(name =>
    startServer(t, { dataDir, env: { ADMIN_TOKEN, REDIS_URL: redis.url, NODE_NAME: name } })))
  const alone = await startServer(t, { env: { ADMIN_TOKEN } })
  const [one, other] = [await connected(t, here, 'plan'), await connected(t, there, 'plan')]
  const pages = []
  for (const options of Object.values(LOOKS)) {
    const page = await browser.open(`${here.http}/inspector`, options)
    await page.until("!document.getElementById('access').hidden")
    await look(page, ADMIN_TOKEN)
    pages.push(page)
  }
  const [page] = pages
  const says = (value, note) => `${total('Other servers')} === '${value}' && /${note}/.test(${total('Other servers', 'small')})`
  const everywhere = async (state, expression) => {
    for (const [i, looks] of Object.keys(LOOKS).entries()) {
      await pages[i].until(expression)
      assert.ok(await pages[i].value('document.documentElement.scrollWidth <= innerWidth'), `${looks}: nothing sticks out`)
      await picture(pages[i], `${state}-${looks.replace(' ', '-')}`)
    }
  }

  await t.test('what others write there counts, what is written here does not', async () => {
    await page.until(says('heard', '^0 edits.s$'))
    one.doc.getText('t').insert(0, 'written here')
    await page.until(`${cell('plan', 'Changes')} === '1'`)
    assert.ok(await page.value(says('heard', '^0 edits.s$')))
    const writing = setInterval(() => other.doc.getText('t').insert(0, 'there '), 50)
    t.after(() => clearInterval(writing))
    await everywhere('others', says('heard', '^[1-9][0-9.]* edits.s$'))
  })

  await t.test('that nobody hears the others is told, and that they are back', async () => {
    await redis.stop()
    await everywhere('apart', says('not heard', '^Redis is away$'))
    assert.equal(await page.value(STATE), 'Live')
    await redis.start()
    await page.until(says('heard', 'edits'))
  })

  await t.test('a server that has no others says nothing of them', async () => {
    const page = await browser.open(`${alone.http}/inspector`)
    await page.until("!document.getElementById('access').hidden")
    await look(page, ADMIN_TOKEN)
    await page.until(`${TOTALS}.includes('Memory')`)
    assert.ok(!(await page.value(TOTALS)).includes('Other servers'))
  })
  for (const page of pages) assert.deepEqual(page.errors, [])
})

/** The token that the page of such a server is given. */
const demoToken = async ({ http }) => {
  const answer = await fetch(`${http}/page/access?document=x`, { method: 'POST', headers: { origin: http } })
  return new URLSearchParams(await answer.text()).get('token')
}
