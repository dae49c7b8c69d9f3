// Package publish hands a signed and encrypted update to those who deliver it:
// as the answer of a self-hosted update server, as a command of the official CLI,
// or as a call of the public Capgo bundle API.
//
// Its invariant is that it publishes no more than what it was given and checked:
// an https URL, a signed checksum and a wrapped session key, which are all
// public; and that an API key goes to the one server that the user named, over
// TLS, and never into an error, a log or the arguments of a process.
package publish
