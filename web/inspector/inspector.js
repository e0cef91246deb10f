// The page: what a server does right now.
import { typeToken, watch } from './facts.js'
import { Rates } from './rates.js'
import { Table } from './table.js'
import { age, bytes, count, rate } from './words.js'

const byId = id => document.getElementById(id)

const rates = new Rates()
const table = new Table(byId('documents'), rates)
let facts

const hear = answer => {
  byId('access').hidden = !('refused' in answer)
  if ('facts' in answer) {
    facts = answer.facts
    state('live', 'Live')
    rates.begin(facts.uptime)
    show()
  } else if ('refused' in answer) {
    facts = undefined
    byId('refused').textContent = answer.refused
    byId('server').textContent = ''
    state('waiting', 'Not let in')
    byId('token').focus()
  } else {
    state('offline', 'No answer')
  }
  document.querySelector('main').hidden = !facts
}

const state = (name, text) => {
  const output = byId('state')
  output.value = text
  output.dataset.state = name
  document.body.classList.toggle('stale', name === 'offline')
}

const show = () => {
  byId('server').textContent = `${facts.version}, up ${age(facts.uptime)}`
  totals()
  const wanted = byId('filter').value.trim().toLowerCase()
  const has = text => text.toLowerCase().includes(wanted)
  const documents = facts.documents.filter(({ id, connections }) => has(id) || connections.some(({ user }) => has(user)))
  table.show(documents)
  const told = facts.documents.length
  byId('shown').textContent = told < facts.documents_total ? `the ${count(told)} that changed last of ${count(facts.documents_total)}` : ''
  byId('empty').hidden = documents.length > 0
  byId('documents').hidden = documents.length === 0
  byId('empty').textContent = told === 0 ? 'No document is in memory.' : 'None of these documents or users has such a name.'
}

const totals = () => {
  const perSecond = name => rates.note(name, facts[name])
  const traffic = way => {
    const [messages, volume] = [perSecond(`messages_${way}`), perSecond(`bytes_${way}`)]
    return [`${rate(messages)}/s`, volume === undefined ? '' : `${bytes(volume)}/s`]
  }
  const since = seconds => seconds === null ? '' : `oldest ${age(seconds)}`
  const journal = { ok: ['works', ''], off: ['off', ''], failed: ['failed', 'bad'] }[facts.journal]
  const rows = {
    Documents: [count(facts.documents_total), facts.documents_to_push ? `${count(facts.documents_to_push)} to bring to the store` : ''],
    Connections: [count(facts.connections_total), ''],
    Memory: [bytes(facts.bytes), 'documents'],
    'Messages in': traffic('received'),
    'Messages out': traffic('sent'),
    Journal: [journal[0], facts.staged_bytes ? `${bytes(facts.staged_bytes)} on the way` : '', journal[1]],
    Unsaved: [bytes(facts.unsaved_bytes), since(facts.oldest_unsaved)],
    Answers: [bytes(facts.answers_bytes), 'large, on their way']
  }
  if (facts.bus !== 'off') rows['Other servers'] = otherServers(perSecond('bus_updates'))
  const list = byId('totals')
  if (list.children.length !== Object.keys(rows).length) list.replaceChildren(...Object.keys(rows).map(total))
  Object.values(rows).forEach(([value, note, tone = ''], i) => {
    const [, dd] = list.children[i].children
    dd.firstChild.textContent = value
    dd.firstChild.dataset.tone = tone
    dd.lastChild.textContent = note
  })
}

const otherServers = edits => facts.bus === 'up' ? ['heard', `${rate(edits)} edits/s`] : ['not heard', 'Redis is away', 'bad']

const total = name => {
  const group = document.createElement('div')
  const [dt, dd] = [document.createElement('dt'), document.createElement('dd')]
  dt.textContent = name
  dd.append(document.createElement('b'), document.createElement('small'))
  group.append(dt, dd)
  return group
}

const again = watch(hear)
byId('filter').addEventListener('input', show)
byId('access').addEventListener('submit', event => {
  event.preventDefault()
  typeToken(byId('token').value.trim())
  byId('token').value = ''
  again()
})
