package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
)

// newKeyCommand is the life of a key as an operator sees it. What changes or uses
// a key is said before it is done, asked for, and written into the transparency
// log; what only looks is not.
func newKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, import, look at, check and switch off keys",
		Args:  cobra.NoArgs,
	}
	flags := new(keyFlags)
	cmd.PersistentFlags().StringVar(&flags.config, "config", defaultConfig, "the configuration file")
	cmd.AddCommand(
		newKeyCreateCommand(flags),
		newKeyImportCommand(flags),
		newKeyListCommand(flags),
		newKeyShowCommand(flags),
		newKeyPublicCommand(flags),
		newKeyAttestCommand(flags),
		newKeyCheckCommand(flags),
		newKeyDisableCommand(flags),
		newKeyEnableCommand(flags),
	)
	return cmd
}

// keyFlags are what was typed. Each command has those that it speaks of.
type keyFlags struct {
	config string
	yes    bool
	json   bool
	reason string
}

func (f *keyFlags) addYes(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.yes, "yes", false, "go on without asking")
}

func (f *keyFlags) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func (f *keyFlags) addReason(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.reason, "reason", "", usage)
}

// maxReason is the longest reason in bytes: the log keeps it for ever.
const maxReason = 1000

// checkReason takes the white space around the reason away, and refuses one that
// the log would not take.
func (f *keyFlags) checkReason(required bool) error {
	f.reason = strings.TrimSpace(f.reason)
	switch {
	case f.reason == "" && required:
		return &usageError{errors.New("--reason: found nothing, want why; it goes into the log")}
	case len(f.reason) > maxReason:
		return &usageError{fmt.Errorf("--reason: found %d bytes, want at most %d", len(f.reason), maxReason)}
	case strings.ContainsFunc(f.reason, unicode.IsControl):
		return &usageError{errors.New("--reason: found a control character in it, want one line of text")}
	}
	return nil
}

// load reads the configuration, in a process that leaves no core dump. What is
// doubtful about it is for "config check" to say.
func (f *keyFlags) load() (*config.Config, error) {
	if err := harden(); err != nil {
		return nil, err
	}
	cfg, _, err := config.Load(f.config, config.Options{CheckURI: backends.CheckURI})
	return cfg, err
}

// configured finds a key by name.
func configured(cfg *config.Config, name string) (*config.Key, error) {
	var names []string
	for i := range cfg.Keys {
		if cfg.Keys[i].Name == name {
			return &cfg.Keys[i], nil
		}
		names = append(names, cfg.Keys[i].Name)
	}
	return nil, &usageError{fmt.Errorf("there is no key %q in the configuration, which has %s", name, strings.Join(names, ", "))}
}

// keyLogger says what goes wrong on the way to a backend, on stderr.
func keyLogger(cmd *cobra.Command) *zap.Logger {
	return newLogger(cmd.ErrOrStderr(), zap.WarnLevel)
}
