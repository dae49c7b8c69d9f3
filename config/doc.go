// Package config reads the configuration of bundlesignd: config.yaml and the
// policy beside it.
//
// Its invariant is that a daemon runs on exactly what its operator wrote, or
// not at all. Parsing is strict: a field that is unknown, written twice or of the
// wrong type is an error, YAML's ways to say one thing in several places are
// refused, and every fault is reported at once with its file, line and column.
// Files that somebody else than root or the daemon could have written are
// refused, checked on the open file so that there is no moment in between.
//
// The comments on the fields of [Config] and [PolicyFile] are the manual: the
// configuration that [Init] writes and docs/configuration.md are made from
// them, and a test fails while either is out of date ("go test ./config -update"
// rewrites them).
package config
