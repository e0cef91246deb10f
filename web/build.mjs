// Builds the pages into net/page, which is committed: whoever has cargo alone
// builds ysyncd. With --check it builds elsewhere and compares.
import { mkdtemp, readFile, readdir, rm, writeFile, copyFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const WEB = fileURLToPath(new URL('.', import.meta.url))
const COMMITTED = join(WEB, '../net/page')

const buildInto = async folder => {
  const { metafile } = await build({
    absWorkingDir: WEB,
    entryPoints: ['editor', 'inspector'].flatMap(page => [`${page}/${page}.js`, `${page}/${page}.css`]),
    entryNames: '[name]',
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['es2022', 'chrome111', 'firefox113', 'safari16.4'],
    charset: 'utf8',
    // They stand in licenses.txt.
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning'
  })
  for (const file of ['editor/editor.html', 'inspector/inspector.html', 'icon.svg']) await copyFile(join(WEB, file), join(folder, basename(file)))
  await writeFile(join(folder, 'licenses.txt'), await licenses(Object.keys(metafile.inputs)))
}

/** What the licences of all that is bundled ask to be told. */
const licenses = async inputs => {
  const names = inputs.map(input => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]).filter(name => name)
  const texts = [...new Set(names)].sort().map(async name => {
    const folder = join(WEB, 'node_modules', name)
    const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const text = await readFile(join(folder, 'LICENSE'), 'utf8')
    return `${name} ${version}\n\n${text.trim()}\n`
  })
  return ['The page of ysyncd contains these packages.\n', ...await Promise.all(texts)].join(`\n${'-'.repeat(72)}\n\n`)
}

const check = async () => {
  const fresh = await mkdtemp(join(tmpdir(), 'ysyncd-web-'))
  try {
    await buildInto(fresh)
    const names = new Set([...await readdir(fresh), ...await readdir(COMMITTED)])
    const read = (folder, name) => readFile(join(folder, name)).catch(() => Buffer.alloc(0))
    for (const name of names) {
      if ((await read(fresh, name)).equals(await read(COMMITTED, name))) continue
      throw new Error(`net/page/${name} is not what web/ builds: run \`npm run build\` in web/ and commit`)
    }
  } finally {
    await rm(fresh, { recursive: true })
  }
}

if (process.argv.includes('--check')) {
  await check()
} else {
  await rm(COMMITTED, { recursive: true, force: true })
  await mkdir(COMMITTED, { recursive: true })
  await buildInto(COMMITTED)
}
