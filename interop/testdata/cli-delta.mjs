// What the official CLI (8.68.1: utils.ts, generateManifest, and bundle/partial.ts)
// does with the files of a delta update, without the network: hash each, sign each
// hash with the key in a file, compress with Brotli at Node's defaults in batches
// of 500, encrypt. The result goes to OUT in place of an upload. Only for
// BenchmarkDeltaAgainstNode to compare with.
//
//   node cli-delta.mjs PRIVATE.pem DIST OUT     prints the bytes written
import { createCipheriv, createHash, privateEncrypt, randomBytes, constants } from 'node:crypto'
import { createReadStream, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { createBrotliCompress } from 'node:zlib'

const [privateFile, dist, out] = process.argv.slice(2)
const key = readFileSync(privateFile, 'utf8')
const seal = (bytes) => privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, bytes)

const iv = randomBytes(16)
const aes = randomBytes(16)
const sessionKey = `${iv.toString('base64')}:${seal(aes).toString('base64')}`

const manifest = []
for (const e of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!e.isFile()) continue
  const path = join(e.parentPath, e.name)
  const hash = createHash('sha256').update(readFileSync(path)).digest()
  manifest.push({ path, name: path.slice(dist.length + 1), hash: seal(hash).toString('hex') })
}

mkdirSync(join(out, 'files'), { recursive: true })
let total = 0
async function store(file, i) {
  const plain = await buffer(createReadStream(file.path))
  let packed = plain
  if (plain.length >= 8192) {
    const small = await buffer(createReadStream(file.path).pipe(createBrotliCompress({})))
    if (small.length < plain.length - 10) {
      packed = small
      file.name += '.br'
    }
  }
  const cipher = createCipheriv('aes-128-cbc', aes, iv)
  const sealed = Buffer.concat([cipher.update(packed), cipher.final()])
  total += sealed.length
  await writeFile(join(out, 'files', String(i)), sealed)
  return { file_name: file.name, file_hash: file.hash, download_url: `files/${i}` }
}

const entries = []
for (let i = 0; i < manifest.length; i += 500) {
  entries.push(...await Promise.all(manifest.slice(i, i + 500).map((file, j) => store(file, i + j))))
}
writeFileSync(join(out, 'update.json'), JSON.stringify({ session_key: sessionKey, manifest: entries }))
console.log(total)
