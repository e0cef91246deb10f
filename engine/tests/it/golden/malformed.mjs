// Inputs that must be refused, each breaking one rule, and what Yjs says to
// them. Where Yjs takes one, `why` says what harm it would do.
import { Y, awareness, encoding } from '../../../../e2e/lib/yjs.mjs'
import {
  any, bytes, concat, contents as c, gc, hex, item, nestedArrays, skip, stateVector, unhex, update
} from '../../../../e2e/lib/update.mjs'

export const malformedInputs = () => [
  ...shape(), ...refs(), ...utf8(), ...json(), ...docs(), ...anys(), ...empties(),
  ...references(), ...numbers(), ...skips(), ...bombs()
].map(([name, input, why, kind = 'update']) => ({ name, kind, hex: hex(input), why, yjs: verdict(kind, input) }))

/** What Yjs does with the input: "refuses", or takes it. */
const verdict = (kind, input) => {
  if (kind === 'state_vector') return attempt(() => Y.decodeStateVector(input)) ?? 'takes it'
  if (kind === 'awareness') {
    const presence = new awareness.Awareness(new Y.Doc())
    const refusal = attempt(() => awareness.applyAwarenessUpdate(presence, input, null))
    presence.destroy()
    return refusal ?? 'takes it'
  }
  const doc = new Y.Doc()
  if (attempt(() => Y.applyUpdate(doc, input))) return 'refuses'
  if (attempt(() => Y.applyUpdate(new Y.Doc(), Y.encodeStateAsUpdate(doc)))) return 'takes it, and refuses its own state after it'
  if (attempt(() => Y.mergeUpdates([input, update([])]))) return 'takes it, but its mergeUpdates refuses it'
  return doc.store.pendingStructs || doc.store.pendingDs ? 'takes it, and keeps it pending for ever' : 'takes it'
}

const attempt = run => {
  try {
    run()
  } catch {
    // Its words depend on the version of Node.
    return 'refuses'
  }
}

const one = structs => update([{ client: 1, structs }])
const alone = content => one([item({}, content)])

/** The update as a whole. */
const shape = () => {
  const good = alone(c.string('hello'))
  return [
    ['nothing', new Uint8Array(), 'an update has at least two counts'],
    ['no delete set', good.slice(0, -1), 'the delete set may be empty, not absent'],
    ['cut in the text', good.slice(0, -3), 'the string says five bytes'],
    ['cut in the head', good.slice(0, 3), 'the clock is missing'],
    ['cut in a delete range', update([], [[1, [[0, 1]]]]).slice(0, -1), 'the length is missing'],
    ['trailing byte', concat(good, [0]), 'bytes after a complete update: the reader and the writer do not mean the same'],
    ['two updates in one', concat(good, good), 'the same'],
    ['more structs announced', update([{ client: 1, count: 2, structs: [gc(1)] }]), 'the second struct would be read from the delete set'],
    ['fewer structs announced', update([{ client: 1, count: 1, structs: [gc(1), gc(1)] }]), 'the second struct would be read as the delete set'],
    ['parent info 2', one([gc(1), item({ parentInfo: 2, parent: [1, 0] }, c.string('a'))]), 'only 0 and 1 mean something; Yjs reads every other number as 0']
  ]
}

const refs = () => [
  ...[11, 12, 15, 31].map(ref => [`content ref ${ref}`, one([item({}, c.raw(ref, new Uint8Array([1, 1])))]), 'Yjs knows content refs 0 to 10; 11 is Move in yrs']),
  ...[7, 8, 127, 128].map(ref => [`type ref ${ref}`, alone(c.type(ref)), 'Yjs knows type refs 0 to 6; 7 is a weak link in yrs'])
]

const utf8 = () => {
  const bad = {
    'a lone continuation byte': [0x80],
    'a cut sequence': [0xe2, 0x82],
    'an overlong slash': [0xc0, 0xaf],
    'a surrogate': [0xed, 0xa0, 0x80],
    'past U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
    'the byte FF': [0xff]
  }
  const text = new Uint8Array([0x61, 0xff])
  const why = 'strings are UTF-8; Yjs reads them strictly, so the document would not load again'
  return [
    ...Object.entries(bad).map(([name, b]) => [`string with ${name}`, alone(c.string(new Uint8Array(b))), why]),
    ['root name', one([item({ parent: text }, c.string('a'))]), why],
    ['parentSub', one([item({ sub: text }, c.any([any(1)]))]), why],
    ['JSON text', alone(c.json([text])), why],
    ['embed text', alone(c.embed(text)), why],
    ['format key', alone(c.format(text, 'true')), why],
    ['format value', alone(c.format('bold', text)), why],
    ['node name', alone(c.type(3, text)), why],
    ['hook name', alone(c.type(5, text)), why],
    ['guid', alone(c.doc(text, any({}))), why],
    ['any string', alone(c.any([concat([119, 2], text)])), why],
    ['any key', alone(c.any([concat([118, 1, 2], text, [126])])), why]
  ].map(([name, ...rest]) => [`not UTF-8: ${name}`, ...rest])
}

const json = () => {
  const bad = {
    nothing: '', 'an open brace': '{', 'the word NaN': 'NaN', 'a bare word': 'abc', 'single quotes': "'a'",
    'a comma too many': '[1,]', 'two values': '1 2', 'a leading zero': '01', 'a raw newline in a string': '"\n"',
    'a BOM': '\ufeff1', 'a no-break space': '\u00a01', 'undefined with a space': ' undefined', Undefined: 'Undefined'
  }
  const why = 'Yjs parses it at load, so the document would not load again'
  return [
    ...Object.entries(bad).flatMap(([name, text]) => [
      [`JSON: ${name}`, alone(c.json(['1', text])), why],
      [`embed: ${name}`, alone(c.embed(text)), why],
      [`format: ${name}`, alone(c.format('bold', text)), why]
    ]),
    ['JSON nested 65 deep', alone(c.json([brackets(65)])), 'a reader that recurses must have a bound'],
    ['embed nested 65 deep', alone(c.embed(brackets(65))), 'the same'],
    ['format nested 1,000 deep', alone(c.format('bold', brackets(1_000))), 'the same; from about 10,000 on Yjs reads it and overflows its stack when it writes it back'],
    ['embed: undefined', alone(c.embed('undefined')), 'only ContentJSON knows the word'],
    ['format: undefined', alone(c.format('bold', 'undefined')), 'only ContentJSON knows the word']
  ]
}

const brackets = depth => '['.repeat(depth) + ']'.repeat(depth)

const docs = () => [
  ['null', null], ['undefined', undefined], ['a number', 5], ['a string', 'gc'], ['an array', []], ['bytes', new Uint8Array(2)], ['true', true]
].map(([name, options]) => [`doc options: ${name}`, alone(c.doc('g', any(options))), 'options are an object'])
  .concat([
    ['doc options: guid', alone(c.doc('g', any({ guid: 'h' }))), 'it would replace the guid, and Yjs writes that one back'],
    ['doc options: guid, no string', alone(c.doc('g', any({ guid: 5 }))), 'it would replace the guid by what cannot be written as a string'],
    ['doc options: guid among others', alone(c.doc('g', any({ gc: false, guid: 'h' }))), 'it would replace the guid']
  ])

const anys = () => [
  ...[0, 1, 100, 115, 128, 255].map(tag => [`any tag ${tag}`, alone(c.any([new Uint8Array([tag, 0, 0])])), 'tags are 116 to 127']),
  ['any nested 65 deep', alone(c.any([nestedArrays(65)])), 'a reader that recurses must have a bound'],
  ['any nested 20,000 deep', alone(c.any([nestedArrays(20_000)])), 'overflows the stack of readers that recurse'],
  ['any objects 65 deep', alone(c.any([objects(65)])), 'the same'],
  ['doc options 65 deep', alone(c.doc('g', concat([118, 1, 1, 0x61], nestedArrays(64)))), 'the same'],
  ['any integer past 2^53', alone(c.any([concat([125], [0xbf], Array(8).fill(0xff), [0x7f])])), 'not a number that JavaScript holds; Yjs throws'],
  ['any float64 cut', cut(any(0.1)), 'eight bytes are due'],
  ['any BigInt cut', cut(any(1n)), 'eight bytes are due'],
  ['any float32 cut', cut(any(0.5)), 'four bytes are due'],
  ['no any value', one([item({}, c.any([], 1))]).slice(0, -1), 'one is announced']
]

/** An update that ends in the middle of the value. */
const cut = value => {
  const whole = alone(c.any([value]))
  return whole.slice(0, -2)
}

const objects = depth => {
  let value = {}
  for (let i = 1; i < depth; i++) value = { a: value }
  return any(value)
}

const empties = () => {
  const why = 'a struct of length zero has no id of its own: Yjs loses its place in the run'
  return [
    ['GC of length 0', one([gc(0)]), why],
    ['deleted of length 0', alone(c.deleted(0)), why],
    ['JSON of length 0', alone(c.json([])), why],
    ['string of length 0', alone(c.string('')), why],
    ['any of length 0', alone(c.any([])), why],
    ['Skip of length 0', one([gc(1), skip(0), gc(1)]), why],
    ['delete range of length 0', update([{ client: 1, structs: [gc(1)] }], [[1, [[0, 0]]]]), 'says nothing; in the second form of the format it becomes a length of one'],
    ['delete range of length 0 among others', update([], [[1, [[0, 1], [5, 0]]]]), 'the same']
  ]
}

/** Every reference to the own client lies strictly below the own clock. */
const references = () => {
  const base = item({}, c.string('ab'))
  const why = 'a struct cannot hang on itself or on what comes after it: Yjs would look for it in its store and throw, or never come to an end'
  return ['origin', 'right', 'parent'].flatMap(field => [
    [`${field} is the struct itself`, one([base, item({ [field]: [1, 2] }, c.string('c'))]), why],
    [`${field} is its own later half`, one([base, item({ [field]: [1, 3] }, c.string('cd'))]), why],
    [`${field} lies ahead`, one([base, item({ [field]: [1, 9] }, c.string('c'))]), why],
    [`${field} of the first struct`, one([item({ [field]: [1, 0] }, c.string('c'))]), why]
  ]).concat([
    ['right origin ahead beside a good origin', one([base, item({ origin: [1, 1], right: [1, 2] }, c.string('c'))]), why]
  ])
}

const numbers = () => {
  const past = 'clocks stay below 2^31: readers with 32 bits overflow'
  return [
    ['GC past 2^31', one([gc(2 ** 31)]), past],
    ['GC to 2^31 by two', one([gc(2 ** 31 - 1), gc(1)]), past],
    ['deleted past 2^31', alone(c.deleted(2 ** 31)), past],
    ['Skip past 2^31', one([gc(1), skip(2 ** 31 - 1), gc(1)]), past],
    ['section at 2^31', update([{ client: 1, clock: 2 ** 31, structs: [gc(1)] }]), past],
    ['section near 2^31', update([{ client: 1, clock: 2 ** 31 - 2, structs: [item({ origin: [1, 0] }, c.string('abc'))] }]), past],
    ['delete range past 2^31', update([], [[1, [[0, 2 ** 31]]]]), past],
    ['delete range at 2^31', update([], [[1, [[2 ** 31, 1]]]]), past],
    ['client 2^53', update([{ client: 2 ** 53, structs: [gc(1)] }]), 'client ids are JavaScript integers'],
    ['delete of client 2^53', update([], [[2 ** 53, [[0, 1]]]]), 'client ids are JavaScript integers'],
    ['origin of client 2^53', one([item({ origin: [2 ** 53, 0] }, c.string('a'))]), 'client ids are JavaScript integers'],
    ['client of 64 bits', concat([1, 1], Array(9).fill(0xff), [0x01], [0, 0, 1, 0]), 'client ids are JavaScript integers'],
    ['an endless number', new Uint8Array(400).fill(0xff), 'no number is longer than ten bytes'],
    ['a number of zeros', concat([1, 1, 1], Array(200).fill(0x80), [0], [0, 1, 0]), 'no number is longer than ten bytes; Yjs reads this one as NaN'],
    ['a number without end', new Uint8Array([1, 1, 0x80]), 'the last byte has its high bit set']
  ]
}

const skips = () => [0x2a, 0x4a, 0x8a, 0xea].map(info => [
  `Skip with info ${info.toString(16)}`, one([gc(1), skip(1, info), gc(1)]),
  'one reader of Yjs takes it for a Skip, the other (mergeUpdates) for an item, and throws'
])

/** Counts that the bytes do not keep. */
const bombs = () => {
  const huge = 2 ** 27
  const why = 'a count is believed only up to the bytes that are left'
  return [
    ['2^27 sections', varints(huge), why],
    ['2^27 structs', varints(1, huge, 1, 0), why],
    ['2^27 delete clients', varints(0, huge), why],
    ['2^27 delete ranges', varints(0, 1, 1, huge), why],
    ['2^27 JSON texts', alone(c.json(['1'], huge)), why],
    ['2^27 any values', alone(c.any([any(1)], huge)), why],
    ['2^27 array elements', alone(c.any([concat([117], varints(huge))])), why],
    ['2^27 object keys', alone(c.any([concat([118], varints(huge))])), why],
    ['string of 2^27 bytes', concat(varints(1, 1, 1, 0), [4], varints(1, 1), [0x74], varints(huge)), why],
    ['binary of 2^27 bytes', concat(varints(1, 1, 1, 0), [3], varints(1, 1), [0x74], varints(huge)), why],
    ['any bytes of 2^27 bytes', alone(c.any([concat([116], varints(huge))])), why],
    ['2^53 - 1 sections', varints(2 ** 53 - 1), why],
    ['state vector of 2^27 clients', varints(huge), why, 'state_vector'],
    ['state vector, cut', stateVector([[1, 1]]).slice(0, -1), 'the clock is missing', 'state_vector'],
    ['state vector, empty', new Uint8Array(), 'the count is missing', 'state_vector'],
    ['state vector, endless number', new Uint8Array(40).fill(0xff), 'no number is longer than ten bytes', 'state_vector'],
    ['awareness of 2^27 clients', varints(huge), why, 'awareness'],
    ['awareness, empty', new Uint8Array(), 'the count is missing', 'awareness'],
    ['awareness, cut', unhex('01010102'), 'the state is missing', 'awareness'],
    ['awareness, no JSON', unhex('010101017b'), 'a state is JSON: every y-protocols client would throw', 'awareness'],
    ['awareness, the word undefined', concat(varints(1, 1, 1, 9), new TextEncoder().encode('undefined')), 'a state is JSON', 'awareness'],
    ['awareness, not UTF-8', concat(varints(1, 1, 1, 3), [0x22, 0xff, 0x22]), 'a state is a string', 'awareness']
  ]
}

const varints = (...values) => bytes(e => values.forEach(v => encoding.writeVarUint(e, v)))
