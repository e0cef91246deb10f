// A disk that is small enough to fill.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Mounts a disk of so many bytes, until the test ends. */
export const smallDisk = (t, bytes) => {
  const path = mount(bytes)
  t.after(() => unmount(path))
  return path
}

const mount = bytes => {
  const path = mkdtempSync(join(tmpdir(), 'ysyncd-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'ysyncd-e2e', path], { stdio: 'pipe' })
  } catch (error) {
    rmdirSync(path)
    throw error
  }
  return path
}

const unmount = path => {
  // Lazily: a server that has not ended yet may still have files open there.
  execFileSync('umount', ['-l', path])
  rmdirSync(path)
}

/** Why there can be no small disk, if so. For root with CI=true it is an error. */
export const noMount = (() => {
  try {
    unmount(mount(1 << 20))
    return false
  } catch (error) {
    if (process.env.CI === 'true' && process.getuid() === 0) throw error
    return `a tmpfs cannot be mounted: ${String(error.stderr || error.message).trim()}`
  }
})()

/**
 * Takes all room that is left in a folder, and keeps taking what becomes free
 * until it is told to give it back, or the test ends.
 */
export const fill = (t, folder) => {
  const path = join(folder, 'filler')
  const file = openSync(path, 'a')
  const take = () => [1 << 16, 1 << 12, 1].forEach(size => appendUntilFull(file, Buffer.alloc(size)))
  take()
  const timer = setInterval(take, 20)
  t.after(() => clearInterval(timer))
  return {
    remove () {
      clearInterval(timer)
      closeSync(file)
      rmSync(path)
    }
  }
}

const appendUntilFull = (file, bytes) => {
  try {
    while (writeSync(file, bytes) === bytes.length);
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error
  }
}
