// Command build compiles the releases of Vault that its arguments name, unless it has
// done so before, and prints where they are. Without arguments it is the one that the
// tests use; "all" means each of them. It is for a script that prepares a machine; tests
// do it themselves.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(versions []string) error {
	switch {
	case len(versions) == 0:
		version, err := vaulttest.Version()
		if err != nil {
			return err
		}
		versions = []string{version}
	case slices.Equal(versions, []string{"all"}):
		versions = vaulttest.Versions()
	}
	for _, version := range versions {
		if !slices.Contains(vaulttest.Versions(), version) {
			return fmt.Errorf("found the version %q, want %s or all", version, strings.Join(vaulttest.Versions(), ", "))
		}
		path, err := vaulttest.Build(context.Background(), version, func(text string) { fmt.Fprintln(os.Stderr, text) })
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
