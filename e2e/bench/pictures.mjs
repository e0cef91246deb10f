// Draws what was measured, light or dark as the reader likes it.

const STYLE = `<style>
  svg { --ink: #1f2328; --faint: #d0d7de; --ours: #0969da; --other: #8c959f; background: #ffffff; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #30363d; --ours: #58a6ff; --other: #6e7681; background: #0d1117 } }
  text { fill: var(--ink) } .title { font-size: 14px; font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
  .grid { stroke: var(--faint) } .ours { fill: var(--ours) } .other { fill: var(--other) }
  .line { fill: none; stroke-width: 1.5 } .dashed { stroke-dasharray: 6 4 } .line.ours { stroke: var(--ours); stroke-width: 2.5 } .line.other { stroke: var(--other) }
</style>`

const isOurs = name => name.startsWith('ysyncd')
const tone = name => isOurs(name) ? 'ours' : 'other'

/** A group of bars for each row, drawn so that longer is better. */
export const bars = (title, names, rows) => {
  const [width, left, right, top, bar, gap] = [860, 150, 110, 50, 14, 34]
  const group = names.length * bar + gap
  const height = top + rows.length * group
  const drawn = rows.map(({ label, isMore, values }, i) => {
    const y = top + i * group
    const scores = values.map(value => value === undefined ? 0 : isMore ? value : 1 / value)
    const most = Math.max(...scores)
    const each = names.map((name, j) => {
      const length = (scores[j] / most) * (width - left - right)
      const at = y + 8 + j * bar
      return `<text class="end" x="${left - 6}" y="${at + 10}">${escape(name)}</text>` +
        `<rect class="${tone(name)}" x="${left}" y="${at + 1}" width="${length.toFixed(1)}" height="${bar - 3}"/>` +
        `<text x="${(left + length + 6).toFixed(1)}" y="${at + 10}">${values[j] === undefined ? 'not measured' : short(values[j])}</text>`
    })
    return `<text x="${left}" y="${y + 2}">${escape(label)}${isMore ? '' : ' (less is better; bars are turned round)'}</text>${each.join('')}`
  })
  return svg(title, width, height, drawn)
}

/** A curve for each name: latency over load, both with logarithmic scales. */
export const curves = (title, names, points) => {
  const [width, height, left, right, top, bottom] = [860, 420, 64, 150, 46, 40]
  const rates = [...new Set(points.map(point => point.rate))].sort((a, b) => a - b)
  const ticks = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000]
  const all = points.map(point => point.p99)
  const low = ticks.findLast(tick => tick <= Math.min(...all)) ?? ticks[0]
  const high = ticks.find(tick => tick >= Math.max(...all)) ?? ticks.at(-1)
  const part = (value, from, to) => Math.log(value / from) / Math.log(to / from)
  const x = rate => left + part(rate, rates[0], rates.at(-1)) * (width - left - right)
  const y = ms => top + (1 - part(Math.min(Math.max(ms, low), high), low, high)) * (height - top - bottom)
  const rows = ticks.filter(tick => tick >= low && tick <= high).map(tick =>
    `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>` +
    `<text class="end" x="${left - 6}" y="${(y(tick) + 4).toFixed(1)}">${tick} ms</text>`)
  const columns = rates.map(rate =>
    `<text class="middle" x="${x(rate).toFixed(1)}" y="${height - bottom + 18}">${rate}</text>`)
  const axis = `<text class="middle" x="${(left + width - right) / 2}" y="${height - 6}">edits a second, each told to 99 others</text>`
  const ends = []
  const lines = names.map(name => {
    const own = points.filter(point => point.name === name)
    if (own.length === 0) return ''
    const last = own.at(-1)
    // Names at the ends of curves keep out of each other's way.
    const isFree = at => ends.every(taken => Math.abs(taken - at) >= 13)
    const near = Array.from({ length: 2 * height }, (_, i) => y(last.p99) + (i % 2 ? 1 : -1) * Math.ceil(i / 2))
    const at = near.find(isFree)
    ends.push(at)
    const path = own.map(point => `${x(point.rate).toFixed(1)},${y(point.p99).toFixed(1)}`).join(' ')
    const dashed = isOurs(name) && name !== names[0] ? ' dashed' : ''
    return `<polyline class="line ${tone(name)}${dashed}" points="${path}"/>` +
      `<text x="${(x(last.rate) + 6).toFixed(1)}" y="${(at + 4).toFixed(1)}">${escape(name)}</text>`
  })
  return svg(title, width, height, [...rows, ...columns, axis, ...lines])
}

const svg = (title, width, height, parts) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
${STYLE}
<text class="title" x="16" y="24">${escape(title)}</text>
${parts.join('\n')}
</svg>
`

const short = value => value >= 1e6
  ? `${Number((value / 1e6).toPrecision(3))}M`
  : value >= 10_000 ? `${Number((value / 1e3).toPrecision(3))}k` : String(Number(value.toPrecision(3)))

const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
