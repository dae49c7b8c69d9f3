package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/config"
)

// newConfigCommand returns the command with what is done to configurations.
// CheckURI says what is wrong with the URI of a key.
func newConfigCommand(checkURI func(string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newConfigCheckCommand(checkURI))
	return cmd
}

func newConfigCheckCommand(checkURI func(string) error) *cobra.Command {
	var path, runAs string
	var strict bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with a configuration",
		Long: `Read a configuration, its policy and the keys that it names, as the daemon would,
without using any key, and print every error and warning to stderr with file,
line and column.

Run this as the user as whom the daemon runs or, as root, with --user: files are
then opened with what that user may do. It exits with 0 if that user can read every
file and keep the daemon's state, and with 2 if not. The PIN of a token and the
token itself are not looked at.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts := config.Options{CheckURI: checkURI, ThisMachine: true, KeyFile: keyFile}
			cfg, warnings, err := loadAs(runAs, path, opts)
			if err := printFindings(cmd.ErrOrStderr(), path, warnings, err, strict); err != nil {
				return err
			}
			return printSummary(cmd.OutOrStdout(), path, cfg)
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "the configuration file")
	cmd.Flags().StringVar(&runAs, "user", "", "the user as whom the daemon runs (default: you)")
	cmd.Flags().BoolVar(&strict, "strict", false, "take warnings for errors")
	return cmd
}

// loadAs loads a configuration with what the named user may do; "" is who runs
// this.
func loadAs(name, path string, opts config.Options) (cfg *config.Config, warnings []config.Warning, err error) {
	if name == "" {
		return config.Load(path, opts)
	}
	as, err := lookupAccount(name)
	if err != nil {
		return nil, nil, &usageError{fmt.Errorf("--user: %w", err)}
	}
	opts.UID = &as.uid
	load := func() { cfg, warnings, err = config.Load(path, opts) }
	switch os.Geteuid() {
	case as.uid:
		load()
	case 0:
		if becoming := as.do(load); becoming != nil {
			return nil, nil, fmt.Errorf("--user: %w", becoming)
		}
	default:
		return nil, nil, &usageError{fmt.Errorf("--user: only root can tell what %s may read; run this as root, or as %s without --user", name, name)}
	}
	return cfg, warnings, err
}

// keyFile returns the file that the URI of a key names, if it is one.
func keyFile(uri string) (string, bool) {
	path, err := file.ParseURI(uri)
	return path, err == nil
}

// configError says that a configuration was not accepted. Why is printed already.
type configError struct{ summary string }

func (e *configError) Error() string { return e.summary }

// printFindings prints errors and warnings, one in a line, and returns an error
// if they mean that the configuration is not accepted.
func printFindings(w io.Writer, path string, warnings []config.Warning, err error, strict bool) error {
	var b strings.Builder
	var errs config.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	for _, e := range errs {
		fmt.Fprintln(&b, e)
	}
	for _, warning := range warnings {
		fmt.Fprintln(&b, warning)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	switch {
	case len(errs) > 0:
		return &configError{fmt.Sprintf("%s: %s, %s", path, count(len(errs), "error"), count(len(warnings), "warning"))}
	case strict && len(warnings) > 0:
		return &configError{fmt.Sprintf("%s: %s, which --strict takes for errors", path, count(len(warnings), "warning"))}
	}
	return nil
}

// printSummary prints what the daemon would run with.
func printSummary(w io.Writer, path string, cfg *config.Config) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is good.\n", path)
	for _, key := range cfg.Keys {
		fmt.Fprintf(&b, "key %s: must prove %s; signs for %s; %s\n",
			key.Name, key.Custody, strings.Join(key.Apps, ", "), key.PublicKey.Fingerprint())
	}
	fmt.Fprintf(&b, "policy %s: %s; %s\n", cfg.PolicyPath, count(cfg.PolicyRules, "rule"), cfg.Policy.Hash())
	fmt.Fprintf(&b, "log %s: %s\n", cfg.Log.Origin, cfg.Log.VerifierKey)
	_, err := io.WriteString(w, b.String())
	return err
}

// count is a number with its noun: "1 error", "3 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
