// The page: what is shown around the text.
import { typeToken } from './access.js'
import { addressOf, currentName, recentNames, rememberName } from './documents.js'
import { people } from './people.js'
import { Session } from './session.js'
import { View } from './view.js'

const NAME_KEY = 'ysyncd-name'
const PEOPLE_MAX = 8

const byId = id => document.getElementById(id)

/** Sessions of this tab: the one that is shown, and those with edits that were not sent yet. */
const sessions = new Map()
let shown

const open = () => {
  const name = currentName()
  if (shown?.session.name === name) return
  const left = shown?.session
  shown?.view.close()
  if (left) leave(left)
  const session = sessions.get(name) ?? begin(name)
  shown = { session, view: new View(session, byId('editor')) }
  session.awareness.setLocalState({ user: { name: byId('you').value } })
  rememberName(name)
  document.title = `${name} · ysyncd`
  byId('title').textContent = name
  showRecent()
  showSession()
  showPeople()
  shown.view.focus()
}

const begin = name => {
  const session = new Session(name)
  sessions.set(name, session)
  session.addEventListener('change', () => {
    if (shown?.session === session) return showSession()
    leave(session)
  })
  session.awareness.on('change', () => {
    if (shown?.session === session) showPeople()
  })
  return session
}

/** A document that nobody looks at stays only until its edits are sent. */
const leave = session => {
  session.awareness.setLocalState(null)
  if (session.unsent) return
  sessions.delete(session.name)
  session.close()
}

const showSession = () => {
  const { session, view } = shown
  const { state, reason, readOnly, unsent, notTaken } = session
  const [title, detail] = wording(session)
  byId('state').value = title
  byId('state').dataset.state = notTaken === null ? state : 'offline'
  byId('notice').hidden = !detail
  byId('notice').textContent = detail
  byId('access').hidden = state !== 'refused'
  if (state === 'refused' && !reason && !unsent) byId('token').focus()
  byId('editor').hidden = state === 'refused' && session.text.length === 0
  view.allow(!readOnly)
}

const wording = ({ state, reason, readOnly, unsent, notTaken }) => {
  const kept = unsent ? ' Your edits are kept in this tab and sent once it is connected.' : ''
  if (state === 'connecting') return ['Connecting…', '']
  if (state === 'offline') return ['Offline', `The server cannot be reached; trying again. You can go on typing.${kept}`]
  if (state === 'refused' && !reason) return ['Token needed', `This server lets in who has a token.${kept}`]
  if (state === 'refused') return ['Token refused', `The server says: ${reason}.${kept}`]
  if (notTaken !== null) return ['Edits not taken', `The server says: ${notTaken}. Your edits are kept in this tab until it takes them.`]
  return readOnly ? ['Connected, read only', ''] : ['Connected', '']
}

const showPeople = () => {
  const all = people(shown.session)
  const items = all.slice(0, PEOPLE_MAX).map(({ name, color, isMe }) => {
    const dot = document.createElement('i')
    dot.style.background = color
    return listItem(dot, isMe ? `${name} (you)` : name)
  })
  const more = all.length - PEOPLE_MAX
  byId('people').replaceChildren(...items, ...(more > 0 ? [listItem(`and ${more} more`)] : []))
}

const showRecent = () => {
  const current = shown.session.name
  byId('recent').replaceChildren(...recentNames().map(name => {
    const link = document.createElement('a')
    link.href = addressOf(name)
    link.textContent = name
    link.title = name
    if (name === current) link.setAttribute('aria-current', 'page')
    return listItem(link)
  }))
}

const listItem = (...content) => {
  const item = document.createElement('li')
  item.append(...content)
  return item
}

const someName = () => {
  const animals = ['Badger', 'Crane', 'Dolphin', 'Falcon', 'Gecko', 'Heron', 'Ibex', 'Lynx', 'Marten', 'Otter', 'Puffin', 'Raven', 'Seal', 'Toad', 'Wren', 'Yak']
  return animals[Math.floor(Math.random() * animals.length)]
}

byId('you').value = localStorage.getItem(NAME_KEY) ?? someName()
byId('you').addEventListener('input', ({ target }) => {
  localStorage.setItem(NAME_KEY, target.value)
  shown.session.awareness.setLocalStateField('user', { name: target.value })
})
byId('open').addEventListener('submit', event => {
  event.preventDefault()
  location.hash = addressOf(byId('name').value.trim())
  byId('name').value = ''
})
byId('access').addEventListener('submit', event => {
  event.preventDefault()
  typeToken(byId('token').value.trim())
  byId('token').value = ''
  for (const session of sessions.values()) session.connect()
})
addEventListener('hashchange', open)
addEventListener('beforeunload', event => {
  if ([...sessions.values()].some(({ unsent }) => unsent)) event.preventDefault()
})
open()
