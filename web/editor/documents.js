// Which document the address names, and which were opened before.

const KEY = 'ysyncd-recent'
const RECENT_MAX = 12
const FIRST = 'welcome'

/** The document that the address names. */
export const currentName = () => {
  const hash = location.hash.slice(1)
  try {
    return decodeURIComponent(hash) || FIRST
  } catch {
    return hash
  }
}

export const addressOf = name => `#${encodeURIComponent(name).replaceAll('%2F', '/')}`

/** What was opened in this browser, the latest first. */
export const recentNames = () => {
  try {
    const names = JSON.parse(localStorage.getItem(KEY))
    return names.filter(name => typeof name === 'string')
  } catch {
    return []
  }
}

export const rememberName = name => {
  const names = [name, ...recentNames().filter(other => other !== name)]
  localStorage.setItem(KEY, JSON.stringify(names.slice(0, RECENT_MAX)))
}
