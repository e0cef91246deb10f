// The oracle, for files that stand outside this folder and so cannot import
// it by name.
export * as Y from 'yjs'
export * as awareness from 'y-protocols/awareness'
export * as encoding from 'lib0/encoding'
export * as decoding from 'lib0/decoding'
