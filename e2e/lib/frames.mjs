// y-websocket messages.
import * as encoding from 'lib0/encoding'
import { bytes } from './update.mjs'

const sync = type => payload => bytes(e => {
  encoding.writeVarUint(e, 0)
  encoding.writeVarUint(e, type)
  encoding.writeVarUint8Array(e, payload)
})

export const frames = {
  step1: sync(0),
  step2: sync(1),
  update: sync(2),
  awareness: payload => bytes(e => {
    encoding.writeVarUint(e, 1)
    encoding.writeVarUint8Array(e, payload)
  })
}
