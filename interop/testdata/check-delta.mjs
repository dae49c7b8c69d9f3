// Does with a delta update what the updater on a phone does (DownloadService.java
// and CapgoUpdater.swift of @capgo/capacitor-updater), with Node's own crypto and
// zlib and nothing of bundlesign's.
//
//   node check-delta.mjs PUBLIC.pem UPDATE.json FOLDER OUT
//
// UPDATE.json is the update server's answer, FOLDER what was uploaded. Each file
// that is good goes to OUT. Prints how many were good; the first that is not ends
// it with code 1 and "FILE: WHY".
import { createDecipheriv, createHash, createPublicKey, publicDecrypt, constants } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'

const [publicFile, updateFile, folder, out] = process.argv.slice(2)
const key = createPublicKey(readFileSync(publicFile, 'utf8'))
const update = JSON.parse(readFileSync(updateFile, 'utf8'))

class Refused extends Error {}
const refuse = (name, why) => { throw new Refused(`${name}: ${why}`) }

const open = (sealed) => publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, sealed)

// The checksum that a signature holds, as hexadecimal text. Both forms end there:
// the legacy one is that text read as base64.
function openHash(name, sealed) {
  const hex = /^[0-9a-fA-F]+$/.test(sealed)
  const bytes = Buffer.from(sealed, hex ? 'hex' : 'base64')
  if (bytes.length !== 256) refuse(name, `file_hash has ${bytes.length} bytes`)
  let inside
  try {
    inside = open(bytes)
  } catch (e) {
    refuse(name, `file_hash was not made by this key (${e.code})`)
  }
  return hex ? inside.toString('hex') : inside.toString('base64')
}

function sessionKey() {
  const parts = update.session_key.split(':')
  if (parts.length !== 2) refuse('session_key', 'not two parts')
  const [iv, wrapped] = parts.map((part) => Buffer.from(part, 'base64'))
  let aes
  try {
    aes = open(wrapped)
  } catch (e) {
    refuse('session_key', `was not made by this key (${e.code})`)
  }
  if (iv.length !== 16 || aes.length !== 16) refuse('session_key', `${iv.length} and ${aes.length} bytes`)
  return { iv, aes }
}

function decrypt(name, { iv, aes }, stored) {
  let plain
  try {
    const cipher = createDecipheriv('aes-128-cbc', aes, iv)
    plain = Buffer.concat([cipher.update(stored), cipher.final()])
  } catch (e) {
    refuse(name, `cannot be decrypted (${e.code})`)
  }
  if (plain.length === 0) refuse(name, 'is empty')
  return plain
}

// Two forms are not Brotli to a phone, although they are called so.
function decompress(name, b) {
  const head = b.subarray(0, 3).toString('hex')
  if (b.length === 3 && head === '1b0006') return Buffer.alloc(0)
  if (b.length > 3 && b[b.length - 1] === 3 && (head === '1b0006' || head === '0b0280')) return b.subarray(3, -1)
  try {
    return brotliDecompressSync(b)
  } catch (e) {
    refuse(name, `is not Brotli (${e.code})`)
  }
}

function target(name) {
  const place = name.endsWith('.br') ? name.slice(0, -3) : name
  if (place === '' || place.includes('\\') || place.includes('\0') || place.startsWith('/')) refuse(name, 'is no name')
  const path = resolve(out, place)
  if (!path.startsWith(resolve(out) + sep)) refuse(name, 'leaves the folder')
  return path
}

try {
  const session = sessionKey()
  const seen = new Set()
  for (const { file_name: name, file_hash: hash, download_url: url } of update.manifest) {
    if (!hash) refuse(name, 'has no file_hash')
    const want = openHash(name, hash)
    const path = target(name)
    if (seen.has(path)) refuse(name, 'is there twice')
    seen.add(path)
    const object = url.slice(url.lastIndexOf('/') + 1)
    const stored = readFileSync(join(folder, 'files', object))
    let plain = decrypt(name, session, stored)
    if (name.endsWith('.br')) plain = decompress(name, plain)
    const found = createHash('sha256').update(plain).digest('hex')
    if (found !== want) refuse(name, 'is not what was signed')
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, plain)
  }
  console.log(seen.size)
} catch (e) {
  if (!(e instanceof Refused)) throw e
  console.error(e.message)
  process.exitCode = 1
}
