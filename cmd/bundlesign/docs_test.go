package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// docs/cli.md has a section for each command, which names each of its flags.
func TestDocumentationKnowsEveryCommandAndFlag(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	// What follows are the commands of the other program.
	doc, _, found := strings.Cut(string(data), "\n# The operator's commands\n")
	if !found {
		t.Error("there is no part for operators")
	}
	sections := make(map[string]string)
	for part := range strings.SplitSeq(doc, "\n#") {
		title, body, _ := strings.Cut(part, "\n")
		sections[strings.Trim(title, "#` ")] = body
	}
	a := &app{}
	root := a.rootCommand()
	known := map[string]bool{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		body, ok := sections[path]
		if !ok {
			t.Errorf("there is no section %q", path)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			known["--"+f.Name] = true
			if f.Name != "help" && !strings.Contains(body, "`--"+f.Name) {
				t.Errorf("section %q does not mention --%s", path, f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			if sub.Runnable() && sub.Name() != "help" {
				walk(sub)
			}
		}
	}
	walk(root)
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(doc, -1) {
		if !known[flag[1]] && flag[1] != "--help" {
			t.Errorf("%s is mentioned, but no command has it", flag[1])
		}
	}
	for _, want := range []string{"BUNDLESIGN_SOCKET", "bundlesign help exit-codes"} {
		if !strings.Contains(doc, want) {
			t.Errorf("%s is not mentioned", want)
		}
	}
}

// The table of exit codes says what the help says.
func TestDocumentationKnowsEveryExitCode(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	inHelp := regexp.MustCompile(`(?m)^  (\d)  (\w+)`).FindAllStringSubmatch(exitCodesTopic().Long, -1)
	if len(inHelp) != 7 {
		t.Fatalf("found %d exit codes in the help, want 7", len(inHelp))
	}
	for _, m := range inHelp {
		if !regexp.MustCompile(`(?m)^\| ` + m[1] + ` \| ` + m[2]).Match(data) {
			t.Errorf("exit code %s (%s...) is not in the table", m[1], m[2])
		}
	}
}
