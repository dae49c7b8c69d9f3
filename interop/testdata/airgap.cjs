// Loaded into the official CLI before its own code: no connection leaves this
// process, whatever the CLI would like to tell or ask somebody.
'use strict'
const dns = require('node:dns')
const net = require('node:net')

const refusal = (what) => Object.assign(new Error(`airgap: no network in tests (${what})`), { code: 'ENETUNREACH' })

net.Socket.prototype.connect = function () {
  process.nextTick(() => this.destroy(refusal('connect')))
  return this
}
dns.lookup = (name, ...rest) => process.nextTick(rest.pop(), refusal(`lookup of ${name}`))
dns.promises.lookup = (name) => Promise.reject(refusal(`lookup of ${name}`))
