// Package manpage writes the manual pages of a program from the definitions of its
// commands, one page a command.
//
// Its invariant is that the same definitions give the same bytes, on any day and
// machine, and that no text of a definition is taken for a request of troff. It is
// small instead of general, so that the programs can carry it: it knows the shape
// that the texts of these two programs have, and no Markdown.
package manpage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Manual is what the pages of a program say besides what its commands say.
type Manual struct {
	Section  string // such as "1"
	Title    string // of the whole manual, for the top of each page
	Sections []Section
	SeeAlso  []string // such as "ssh(1)", after the program's own pages
}

// Section is one of every page of the program.
type Section struct {
	Name string // in capitals
	Text string // as that of a command
}

// Write writes the pages of a program into a folder, which it makes, and returns
// their names in the order of the commands.
func (m *Manual) Write(dir string, root *cobra.Command) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("manual pages: %w", err)
	}
	var names []string
	for _, cmd := range all(root) {
		name := m.page(cmd) + "." + m.Section
		if err := os.WriteFile(filepath.Join(dir, name), []byte(m.Page(cmd)), 0o644); err != nil {
			return nil, fmt.Errorf("manual pages: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

// all returns a command and those below it that are documented.
func all(cmd *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if Documented(sub) {
			out = append(out, all(sub)...)
		}
	}
	return out
}

// undocumented marks a command that is for the program's own use.
const undocumented = "manpage:undocumented"

// Undocumented marks a command that gets no page. Others do, hidden ones too.
func Undocumented(cmd *cobra.Command) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	cmd.Annotations[undocumented] = "true"
	return cmd
}

// Documented reports whether a command has a page.
func Documented(cmd *cobra.Command) bool {
	// cobra has commands of its own, for help and for completion scripts.
	return cmd.Annotations[undocumented] == "" && cmd.Name() != "help" && !strings.HasPrefix(cmd.Name(), "__")
}

func (m *Manual) page(cmd *cobra.Command) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "-")
}

// Page returns the page of a command, in the macros of man(7).
func (m *Manual) Page(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	name := m.page(cmd)
	// No date: a page changes only with the program.
	fmt.Fprintf(&b, ".TH %s %s \"\" %s %s\n", quoted(strings.ToUpper(name)), quoted(m.Section), quoted(cmd.Root().Name()), quoted(m.Title))
	b.WriteString(".nh\n.ad l\n")
	heading(&b, "NAME")
	fmt.Fprintf(&b, "%s \\- %s\n", escaped(name), escaped(lowerFirst(cmd.Short)))
	heading(&b, "SYNOPSIS")
	if cmd.Runnable() && cmd.HasParent() || !cmd.HasSubCommands() {
		usage := strings.TrimSuffix(cmd.UseLine(), " [flags]")
		fmt.Fprintf(&b, "\\fB%s\\fR [\\fIflags\\fR]\n", escaped(usage))
	} else {
		fmt.Fprintf(&b, "\\fB%s\\fR \\fIcommand\\fR [\\fIflags\\fR]\n", escaped(cmd.CommandPath()))
	}
	heading(&b, "DESCRIPTION")
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	prose(&b, long)
	m.commands(&b, cmd)
	flags(&b, "OPTIONS", cmd.NonInheritedFlags())
	flags(&b, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	for _, s := range m.Sections {
		heading(&b, s.Name)
		prose(&b, s.Text)
	}
	m.seeAlso(&b, cmd)
	return b.String()
}

func (m *Manual) commands(b *strings.Builder, cmd *cobra.Command) {
	first := true
	for _, sub := range cmd.Commands() {
		if !Documented(sub) || sub.Hidden {
			continue
		}
		if first {
			heading(b, "COMMANDS")
			first = false
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR(%s)\n%s\n", escaped(m.page(sub)), m.Section, line(sub.Short))
	}
}

func flags(b *strings.Builder, title string, set *pflag.FlagSet) {
	first := true
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if first {
			heading(b, title)
			first = false
		}
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(b, "\\fB\\-%s\\fR, ", escaped(f.Shorthand))
		}
		fmt.Fprintf(b, "\\fB\\-\\-%s\\fR", escaped(f.Name))
		if value != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", escaped(value))
		}
		if d := f.DefValue; d != "" && d != "false" && d != "[]" && d != "0" && d != "0s" {
			usage += fmt.Sprintf(" (default %s)", d)
		}
		fmt.Fprintf(b, "\n%s\n", line(usage))
	})
}

func (m *Manual) seeAlso(b *strings.Builder, cmd *cobra.Command) {
	var pages []string
	for up := cmd.Parent(); up != nil; up = up.Parent() {
		pages = append([]string{m.page(up)}, pages...)
	}
	for _, sub := range cmd.Commands() {
		if Documented(sub) {
			pages = append(pages, m.page(sub))
		}
	}
	for i, p := range pages {
		pages[i] = fmt.Sprintf("%s(%s)", p, m.Section)
	}
	if pages = append(pages, m.SeeAlso...); len(pages) == 0 {
		return
	}
	heading(b, "SEE ALSO")
	for i, p := range pages {
		name, section, _ := strings.Cut(p, "(")
		comma := ","
		if i == len(pages)-1 {
			comma = ""
		}
		fmt.Fprintf(b, ".BR %s \"(%s%s\"\n", escaped(name), section, comma)
	}
}
