// Numbers as people read them.

const whole = new Intl.NumberFormat('en')
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
const AGES = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']]

export const count = number => whole.format(number)

export const bytes = number => {
  const unit = Math.min(Math.floor(Math.log2(Math.max(number, 1)) / 10), UNITS.length - 1)
  const scaled = number / 1024 ** unit
  return `${unit > 0 && scaled < 10 ? scaled.toFixed(1) : whole.format(Math.round(scaled))} ${UNITS[unit]}`
}

/** A time in one unit, without a fraction. */
export const age = seconds => {
  const [size, unit] = AGES.find(([size]) => seconds >= size) ?? []
  return unit ? `${Math.floor(seconds / size)} ${unit}` : 'now'
}

export const ago = seconds => seconds < 1 ? 'now' : `${age(seconds)} ago`

export const rate = perSecond => {
  if (perSecond === undefined) return '…'
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))
}
