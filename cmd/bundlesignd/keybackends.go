package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
)

// newBackends returns a Set without keys, as the configuration and the environment
// of this process have it.
func newBackends(cfg *config.Config, log *zap.Logger) *backends.Set {
	return backends.NewSet(backends.Options{
		Logger:         log,
		ChildCommand:   []string{thisProgram, childCommand},
		CredentialsDir: os.Getenv("CREDENTIALS_DIRECTORY"),
		PINRecords:     pinRecords(cfg),
		VaultAddress:   os.Getenv("VAULT_ADDR"),
	})
}

// pinRecords is where attempts to log in to tokens are recorded. It is the same
// for the daemon and for an operator's commands, so that a wrong PIN is tried once
// and not once by each.
func pinRecords(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "pins") }

// asDaemonUser returns an error unless this process is the user as whom the daemon runs.
// Root could do as much, but would leave files behind that the daemon cannot open,
// and would take other users' files for foreign ones.
func asDaemonUser(cfg *config.Config) error {
	info, err := os.Stat(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if int(owner) == os.Geteuid() {
		return nil
	}
	name := strconv.FormatUint(uint64(owner), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return &usageError{fmt.Errorf("state_dir: %s belongs to %s, as whom the daemon runs, and you are uid %d: run this as that user, such as with: runuser -u %s -- bundlesignd and the rest",
		cfg.StateDir, name, os.Geteuid(), name)}
}

// openBackends is newBackends for a process of its own beside the daemon.
func openBackends(cfg *config.Config, log *zap.Logger) (*backends.Set, error) {
	if err := asDaemonUser(cfg); err != nil {
		return nil, err
	}
	return newBackends(cfg, log), nil
}
