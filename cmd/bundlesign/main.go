// Command bundlesign is the client of bundlesignd: for CI runners, release
// engineers, approvers and auditors. It has bundles signed and encrypts them, shows
// people what they approve and has them sign it, verifies bundles as a phone does,
// and reads and checks the audit log.
//
// Its invariant is that a result is printed, or stands under its final name, only
// after everything about it was checked, and that nobody signs what they cannot
// read. Results go to stdout, everything else
// to stderr; exit.go is the one place that says which error is which exit code.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
