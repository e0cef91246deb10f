// Documents between real clients, straight at the server.
import { startServer } from '../lib/server.mjs'
import { syncTests } from '../lib/sync.mjs'

syncTests('straight at the server', startServer)
