// What Debian's Prometheus makes of the metrics, and of the rules that are shipped.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connected, converged } from '../lib/client.mjs'
import { freePort } from '../lib/port.mjs'
import { startServer, temporaryFolder } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const PROGRAMS = process.env.YSYNCD_PROMETHEUS
const SHIPPED = fileURLToPath(new URL('../../deploy/prometheus/', import.meta.url))

const promtool = (words, options = {}) => promisify(execFile)(join(PROGRAMS, 'promtool'), words, { cwd: SHIPPED, ...options })

/** A server with something to tell. */
const usedServer = async t => {
  const server = await startServer(t)
  const clients = await Promise.all([connected(t, server, 'd'), connected(t, server, 'd')])
  clients[0].doc.getText('t').insert(0, 'hello')
  await converged(clients)
  return server
}

test('promtool finds nothing wrong with the metrics', async t => {
  const server = await usedServer(t)
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  const check = promtool(['check', 'metrics'])
  check.child.stdin.end(metrics)
  const { stdout, stderr } = await check
  assert.equal(stdout + stderr, '')
})

test('the configuration and the rules are right, and tell what they should', async () => {
  await promtool(['check', 'config', 'prometheus.yml'])
  await promtool(['check', 'rules', 'alerts.yml'])
  await promtool(['test', 'rules', 'alerts.test.yml'])
})

test('the rules and the dashboard name only metrics that there are', async t => {
  const server = await usedServer(t)
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  const there = new Set([...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]))
  for (const file of ['prometheus/alerts.yml', 'grafana-dashboard.json']) {
    const named = (await readFile(join(SHIPPED, '..', file), 'utf8')).match(/\bysyncd_[a-z_]+/g)
    const missing = new Set(named.filter(name => !there.has(name)))
    assert.deepEqual([...missing], [], file)
  }
})

test('operators are told of every metric, and of none that is not there', async t => {
  const server = await usedServer(t)
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  const there = [...metrics.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  const page = await readFile(join(SHIPPED, '../../docs/OPERATIONS.md'), 'utf8')
  const told = new Set(page.match(/\bysyncd_[a-z_]+/g))
  assert.deepEqual(there.filter(name => !told.has(name)), [], 'not told')
  assert.deepEqual([...told].filter(name => !there.includes(name)), [], 'not there')
})

test('Prometheus scrapes both /metrics and /healthz', async t => {
  const server = await usedServer(t)
  const folder = await temporaryFolder(t)
  const port = await freePort()
  const targets = ['/metrics', '/healthz'].map(path => `
  - job_name: "${path}"
    metrics_path: ${path}
    static_configs: [{ targets: ["127.0.0.1:${server.port}"] }]`)
  await writeFile(join(folder, 'prometheus.yml'), `global: { scrape_interval: 1s }\nscrape_configs:${targets.join('')}\n`)
  const child = spawn(join(PROGRAMS, 'prometheus'), [
    '--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${port}`
  ], { cwd: folder, stdio: 'ignore' })
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const query = async expression => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`
    // It refuses, or says in words that it is not ready, while it starts.
    const answer = await fetch(url).then(response => response.json()).catch(() => null)
    return Object.fromEntries((answer?.data?.result ?? []).map(({ metric, value }) => [metric.job, Number(value[1])]))
  }
  const both = value => ({ '/metrics': value, '/healthz': value })
  const equal = (a, b) => Object.keys(b).every(key => a[key] === b[key])
  await eventually('both are scraped', async () => equal(await query('up'), both(1)), 30_000)
  await eventually('connections are told', async () => equal(await query('ysyncd_connections'), both(2)), 30_000)
  assert.deepEqual(await query('ysyncd_updates_applied_total'), both(1))
})
