package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command has a page with every flag, what the exit codes mean, and the
// variables.
func TestEveryCommandHasAManualPage(t *testing.T) {
	pages := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		page := manual().Page(cmd)
		pages++
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, `\fB\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)+`\fR`) {
				t.Errorf("the page of %s does not have --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, want := range []string{"0  it worked", "6  not to be trusted", "BUNDLESIGN_SOCKET", "BUNDLESIGN_ID_TOKEN", `ssh "(1)`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s does not have %q", cmd.CommandPath(), want)
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" && sub.Name() != "man" {
				walk(sub)
			}
		}
	}
	a := &app{}
	walk(a.rootCommand())
	names, err := manual().Write(t.TempDir(), a.rootCommand())
	if err != nil || len(names) != pages {
		t.Errorf("found %d pages, want %d, %v", len(names), pages, err)
	}
}
