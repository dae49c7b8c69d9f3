package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// docs/cli.md has a section for each of the operator's commands, which names each of
// its flags, and names no other.
func TestDocumentationKnowsTheOperatorsCommands(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, doc, _ := strings.Cut(string(data), "\n# The operator's commands\n")
	sections := map[string]string{}
	for part := range strings.SplitSeq(doc, "\n## ") {
		title, body, _ := strings.Cut(part, "\n")
		sections[strings.Trim(title, "`")] = body
	}
	known := map[string]bool{"--config": true}
	for _, group := range []*cobra.Command{newKeyCommand(), newPINCommand()} {
		for _, cmd := range group.Commands() {
			path := "bundlesignd " + cmd.CommandPath()
			body, ok := sections[path]
			if !ok {
				t.Errorf("there is no section %q", path)
			}
			cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				known["--"+f.Name] = true
				if f.Name != "help" && !strings.Contains(body, "`--"+f.Name) {
					t.Errorf("section %q does not mention --%s", path, f.Name)
				}
			})
		}
	}
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(doc, -1) {
		if !known[flag[1]] {
			t.Errorf("%s is mentioned, but no command has it", flag[1])
		}
	}
}
