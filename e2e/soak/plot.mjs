// Draws samples over time, one panel a quantity, light or dark as the reader
// likes it.

const [WIDTH, PANEL, GAP, LEFT, RIGHT, TOP] = [860, 130, 46, 64, 16, 46]

const PANELS = [
  { key: 'memory', label: 'resident memory', unit: 'MiB' },
  { key: 'connections', label: 'connections', unit: '' },
  { key: 'updates', label: 'updates applied', unit: '/s' }
]

/** An SVG with a title. */
export const plot = (title, samples) => {
  const height = TOP + PANELS.length * (PANEL + GAP)
  const panels = PANELS.map((panel, i) => drawPanel(panel, samples, TOP + i * (PANEL + GAP)))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">
<style>
  svg { --ink: #1f2328; --faint: #d0d7de; --line: #0969da; background: #ffffff; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #30363d; --line: #58a6ff; background: #0d1117 } }
  text { fill: var(--ink) } .title { font-size: 14px; font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
  .grid { stroke: var(--faint) } .line { stroke: var(--line); stroke-width: 1.5; fill: none }
</style>
<text class="title" x="${LEFT}" y="24">${escape(title)}</text>
${panels.join('\n')}
</svg>
`
}

const drawPanel = ({ key, label, unit }, samples, top) => {
  const last = samples.at(-1).second
  const most = niceAbove(Math.max(...samples.map(sample => sample[key])))
  const x = second => LEFT + (second / last) * (WIDTH - LEFT - RIGHT)
  const y = value => top + 16 + (1 - value / most) * (PANEL - 16)
  const rows = [0, most / 2, most].map(value =>
    `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}"/>` +
    `<text class="end" x="${LEFT - 6}" y="${y(value) + 4}">${value}</text>`)
  const columns = [0, 1, 2, 3, 4, 5].map(part => {
    const second = Math.round(last * part / 5)
    return `<text class="middle" x="${x(second)}" y="${top + PANEL + 16}">${second} s</text>`
  })
  const points = samples.map(sample => `${x(sample.second).toFixed(1)},${y(sample[key]).toFixed(1)}`)
  return `<text x="${LEFT}" y="${top + 8}">${label}${unit && `, ${unit}`}</text>
${rows.join('')}${columns.join('')}
<polyline class="line" points="${points.join(' ')}"/>`
}

/** The next of 1, 2, 4, 5, 8, 10, 20, … */
const niceAbove = value => {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)))
  return [1, 2, 4, 5, 8, 10].map(step => step * power).find(step => step >= value)
}

const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
