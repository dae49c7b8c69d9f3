// Package systemd holds the units, users and folders with which systemd runs the
// daemon, and tests only: what systemd itself thinks of them.
package systemd
