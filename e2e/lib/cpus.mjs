// Which processors a process may use, so that what one process does to another is
// not what they take from each other.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The processors that this process may use, by number. */
export const cpus = async () => {
  const status = await readFile('/proc/self/status', 'utf8')
  const list = /Cpus_allowed_list:\s+(\S+)/.exec(status)[1]
  return list.split(',').flatMap(range => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** Lets a process, all threads of it, use these processors only; its children to be, too. */
export const pin = (pid, allowed) => run('taskset', ['--all-tasks', '--cpu-list', '--pid', allowed.join(','), String(pid)])
