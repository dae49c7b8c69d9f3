// Package scripts holds the programs behind the Makefile's targets, and tests that
// run them as a user does.
package scripts
