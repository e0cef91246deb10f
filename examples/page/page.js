// A text that several people write.
import { open } from '../open.js'

const byId = id => document.getElementById(id)

const askToken = async name => {
  const answer = await fetch(`token?document=${encodeURIComponent(name)}`)
  if (!answer.ok) throw new Error({ 401: 'Say who you are.', 403: 'You may not open this document.' }[answer.status] ?? 'The application does not answer.')
  return answer.json()
}

let session

byId('open').addEventListener('submit', async event => {
  event.preventDefault()
  session?.close()
  const user = byId('user').value
  // In place of a login.
  document.cookie = `user=${user}; SameSite=Strict`
  try {
    session = await open(byId('document').value, askToken)
  } catch (error) {
    byId('state').value = error.message
    return
  }
  show(session)
  session.provider.awareness.setLocalStateField('user', { name: user })
})

const show = ({ doc, provider }) => {
  const [area, text] = [byId('text'), doc.getText('text')]
  provider.on('status', ({ status }) => { byId('state').value = status })
  provider.on('sync', () => { area.disabled = false })
  provider.awareness.on('change', () => {
    byId('people').textContent = [...provider.awareness.getStates().values()].map(({ user }) => user?.name ?? '').join(', ')
  })
  area.value = ''
  text.observe(() => {
    if (area.value !== text.toString()) area.value = text.toString()
  })
  area.oninput = () => doc.transact(() => replace(text, area.value))
}

/** Has a text say what an area says, by changing no more than what differs. */
const replace = (text, wanted) => {
  const is = text.toString()
  let [start, end] = [0, 0]
  while (start < Math.min(is.length, wanted.length) && is[start] === wanted[start]) start++
  while (end < Math.min(is.length, wanted.length) - start && is.at(-1 - end) === wanted.at(-1 - end)) end++
  text.delete(start, is.length - end - start)
  text.insert(start, wanted.slice(start, wanted.length - end))
}
