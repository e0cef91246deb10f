// The pages that the simulator draws of runs that fail.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failingPage, openPage } from '../lib/page.mjs'

const RUNS = [
  ['engine', 'frame_dropped', '0..200'],
  ['full', 'sent_before_durable', '0..200']
]

/** An arrow of an update that arrived, and its middle, which no other is near. */
const updateOnItsOwn = async (page, story) => {
  for (const [index, { kind, end }] of story.arrows.entries()) {
    if (kind !== 'Update' || !end.Arrived) continue
    page.value(`pin(items.find(({ arrow }) => arrow === story.arrows[${index}]), true)`)
    await page.drawn()
    const [x, y, nearest] = page.value(`(() => {
      const own = drawn.find(({ item }) => item === chosen.pinned)
      const [x, y] = [(own.a.x + own.b.x) / 2, (own.a.y + own.b.y) / 2]
      const away = ({ a, b }) => {
        const [dx, dy] = [b.x - a.x, b.y - a.y]
        const along = ((x - a.x) * dx + (y - a.y) * dy) / (dx * dx + dy * dy || 1)
        const at = Math.min(Math.max(along, 0), 1)
        return Math.hypot(a.x + at * dx - x, a.y + at * dy - y)
      }
      return [x, y, Math.min(...drawn.filter(other => other !== own && other.a && other.b).map(away))]
    })()`)
    if (nearest > 12) return { index, x, y }
  }
  throw new Error('every update crosses something in its middle')
}

for (const [layer, bug, seeds] of RUNS) {
  test(`the page of a failing run (${layer})`, async t => {
    const html = await failingPage(t, layer, bug, seeds)
    const page = await openPage(t, html)
    const story = JSON.parse(page.text('story'))

    await t.test('marks the violation', async () => {
      const { violation } = story
      assert.equal(page.text('badge'), 'FAILS')
      assert.equal(page.text('invariant'), `Invariant ${violation.invariant}`)
      assert.equal(page.text('violation'), violation.detail)
      await page.press('v')
      const mark = page.written.find(({ text }) => text.startsWith(`✗ ${violation.invariant}`))
      assert.ok(mark, 'it stands in the picture')
      const there = page.value('toY(axis().of(verdict.point), picture.clientHeight)')
      assert.ok(Math.abs(mark.y - there) < 30, `at ${mark.y}, and it happened at ${there}`)
    })

    await t.test('shows what goes between the lanes', () => {
      const arrived = story.arrows.filter(({ end }) => end.Arrived)
      const ways = new Set(arrived.map(({ from, to }) => `${story.lanes[from].kind} ${story.lanes[to].kind}`))
      for (const way of ['Client Node', 'Node Client', 'Node Store', 'Store Node', 'Node Journal', 'Journal Node']) {
        // The engine's run may be one without a journal.
        if (layer === 'full' || !way.includes('Journal')) assert.ok(ways.has(way), way)
      }
      for (const { left, end } of arrived) assert.ok(left <= end.Arrived.at)
    })

    await t.test('tells what an arrow says to whoever points at it', async () => {
      // Where each event has a line of its own nothing is in the way.
      await page.press('t')
      const { index, x, y } = await updateOnItsOwn(page, story)
      await page.mouse('pointermove', x, y)
      const { from, to, text, detail } = story.arrows[index]
      const told = page.text('tooltip')
      const isHidden = () => page.window.document.getElementById('tooltip').hidden
      assert.ok(!isHidden())
      assert.match(told, /^Update/)
      assert.ok(told.includes(`${story.lanes[from].name} → ${story.lanes[to].name}`), told)
      assert.ok(told.includes(detail), told)
      assert.match(text, /^Update: (client \d+ \[\d+\.\.\d+\)|deleted|deletes)/i)
      await page.mouse('pointerleave', x, y)
      assert.ok(isHidden())
    })

    await t.test('zooms in around the mouse, and out again', async () => {
      await page.press('0')
      const seen = () => page.value('[view.from, view.to, toValue(200, picture.clientHeight)]')
      const before = seen()
      await page.mouse('wheel', 500, 200, { deltaY: -120, ctrlKey: true })
      const after = seen()
      assert.ok(after[1] - after[0] < (before[1] - before[0]) * 0.8)
      assert.ok(Math.abs(after[2] - before[2]) < (before[1] - before[0]) / 1000, 'what the mouse points at stays there')
      const range = async key => {
        await page.press(key)
        return seen()[1] - seen()[0]
      }
      const [closer, further] = [await range('+'), await range('-')]
      assert.ok(closer < (after[1] - after[0]) * 0.8)
      assert.ok(further > closer * 1.2)
    })

    await t.test('finds what is searched for', async () => {
      const search = page.window.document.getElementById('search')
      search.value = 'update -nothing'
      search.dispatchEvent(new page.window.Event('input'))
      await page.drawn()
      assert.match(page.text('found'), /^[1-9]\d* found$/)
    })
  })
}
