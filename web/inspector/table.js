// The table of documents, each with its connections. Rows stay the same
// elements from one second to the next, so that nothing jumps or loses focus.
import { ago, age, bytes, count, rate } from './words.js'

const COLUMNS = ['Document', 'Connections', 'Clients', 'Memory', 'Structs', 'Changes', 'Per second', 'Durable', 'Saved', 'Last change']
const NUMBERS = new Set(['Connections', 'Clients', 'Memory', 'Structs', 'Changes', 'Per second', 'Sent', 'Waiting'])
const CONNECTION_COLUMNS = ['User', 'Access', 'Sent', 'Per second', 'Waiting', 'State']

export class Table {
  #bodies = new Map()
  #open = new Set()
  #wasShown = false

  constructor (table, rates) {
    this.table = table
    this.rates = rates
  }

  /** Shows these documents, in this order. */
  show (documents) {
    // One is open to begin with, so that people see that it can be.
    if (!this.#wasShown && documents.length) this.#open.add(documents[0].id)
    this.#wasShown ||= documents.length > 0
    const ids = new Set(documents.map(({ id }) => id))
    for (const [id, body] of this.#bodies) {
      if (ids.has(id)) continue
      body.remove()
      this.#bodies.delete(id)
    }
    let before = this.table.tHead
    for (const facts of documents) {
      const body = this.#bodies.get(facts.id) ?? this.#make(facts.id)
      this.#fill(body, facts)
      if (before.nextSibling !== body) before.after(body)
      before = body
    }
  }

  #make (id) {
    const body = document.createElement('tbody')
    const row = body.insertRow()
    const head = document.createElement('th')
    head.scope = 'row'
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = id
    button.title = id
    button.addEventListener('click', () => {
      this.#open.has(id) ? this.#open.delete(id) : this.#open.add(id)
      this.#fill(body, body.facts)
    })
    head.append(button)
    row.append(head)
    for (const column of COLUMNS.slice(1)) cell(row, column)
    this.#bodies.set(id, body)
    return body
  }

  #fill (body, facts) {
    body.facts = facts
    const [row] = body.rows
    const isOpen = this.#open.has(facts.id)
    row.cells[0].firstChild.setAttribute('aria-expanded', isOpen)
    const perSecond = this.rates.note(`document ${facts.id}`, facts.version)
    const texts = [
      count(facts.connections_total), count(facts.clients), bytes(facts.bytes),
      facts.structs === null ? 'many' : count(facts.structs), count(facts.version), rate(perSecond)
    ]
    texts.forEach((text, i) => say(row.cells[i + 1], text))
    say(row.cells[7], ...durable(facts))
    say(row.cells[8], ...saved(facts))
    say(row.cells[9], facts.phase === 'live' ? facts.changed === null ? 'none' : ago(facts.changed) : facts.phase)
    this.#fillConnections(body, facts, isOpen)
  }

  #fillConnections (body, facts, isOpen) {
    if (!isOpen) return body.rows[1]?.remove()
    const row = body.rows[1] ?? makeConnections(body)
    const table = row.querySelector('table')
    const [rows] = table.tBodies
    while (rows.rows.length > facts.connections.length) rows.deleteRow(-1)
    while (rows.rows.length < facts.connections.length) {
      const row = rows.insertRow()
      for (const column of CONNECTION_COLUMNS) cell(row, column)
    }
    facts.connections.forEach((connection, i) => this.#fillConnection(rows.rows[i], connection))
    table.hidden = facts.connections.length === 0
    const more = facts.connections_total - facts.connections.length
    const note = facts.connections.length === 0 ? facts.connections_total === 0 ? 'Nobody has it open.' : `${count(more)} wait for it.` : `and ${count(more)} more`
    const told = row.querySelector('p')
    told.hidden = more === 0 && facts.connections.length > 0
    say(told, note)
  }

  #fillConnection (row, facts) {
    const perSecond = this.rates.note(`connection ${facts.conn}`, facts.sent_bytes)
    const state = facts.is_refused ? ['refused', 'bad'] : facts.lags ? ['lags', 'wait'] : ['up to date', '']
    say(row.cells[0], facts.user)
    say(row.cells[1], facts.may_write ? 'write' : 'read')
    say(row.cells[2], bytes(facts.sent_bytes))
    say(row.cells[3], perSecond === undefined ? '…' : `${bytes(perSecond)}`)
    say(row.cells[4], bytes(facts.waiting_bytes))
    say(row.cells[5], ...state)
  }
}

const makeConnections = body => {
  const row = body.insertRow()
  row.className = 'connections'
  const cell = row.insertCell()
  cell.colSpan = COLUMNS.length
  const table = document.createElement('table')
  const head = table.createTHead().insertRow()
  for (const column of CONNECTION_COLUMNS) {
    const th = document.createElement('th')
    th.scope = 'col'
    th.textContent = column
    if (isNumber(column)) th.className = 'number'
    head.append(th)
  }
  table.createTBody()
  cell.append(table, document.createElement('p'))
  return row
}

const isNumber = column => NUMBERS.has(column)

const cell = (row, column) => {
  const made = row.insertCell()
  made.dataset.label = column
  if (isNumber(column)) made.className = 'number'
}

/** Changes nothing that is as it should be, so that what somebody marked stays marked. */
const say = (element, text, tone = '') => {
  if (element.textContent !== text) element.textContent = text
  if ((element.dataset.tone ?? '') !== tone) element.dataset.tone = tone
}

/** What of the changes outlives the process. */
const durable = facts => {
  const staged = facts.staged_bytes ? `, ${bytes(facts.staged_bytes)} on the way` : ''
  const since = facts.oldest_undurable === null || facts.oldest_undurable < 1 ? '' : ` for ${age(facts.oldest_undurable)}`
  if (facts.durable_version === facts.version) return [`all${staged}${staged && since}`, since ? 'wait' : '']
  return [`${count(facts.durable_version)}${staged}, others not${since}`, 'wait']
}

/** What of them is in the store. */
const saved = facts => {
  if (facts.is_failing) return [`${facts.saved_version === facts.version ? 'all' : count(facts.saved_version)}, the store fails`, 'bad']
  if (facts.saved_version === facts.version) return [facts.saved === null ? 'all' : `all, ${ago(facts.saved)}`]
  const since = facts.oldest_unsaved === null ? '' : `, ${age(facts.oldest_unsaved)} behind`
  return [`${count(facts.saved_version)}${since}`]
}
