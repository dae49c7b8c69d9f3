// Package interop holds bundlesign against the real software at the other end of
// the format: the official Capgo command line. It has tests only.
//
// What bundlesign signs, the official CLI must decrypt and accept, and refuse once
// a single bit is flipped; what the official CLI encrypts with a key in a file,
// bundlesign must accept. The CLI, of exactly one version, comes from npm:
// scripts/install-deps puts it into node_modules beside this file. It runs without
// a network, in scratch folders that are made up as a Capacitor project.
package interop
