package manpage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func program() *cobra.Command {
	nothing := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "prog", Short: "Do things", Long: "Does things.\n\n.so /etc/passwd\n'x and \\fB\n\n  $ prog --x 'a'\n\n  .so y\n\nThe end."}
	sub := &cobra.Command{Use: "sub FILE [flags]", Short: "HSM things", Run: nothing}
	sub.Flags().String("out-put", "", "the `file` that .x is written to")
	sub.Flags().IntP("number", "n", 3, "how many")
	sub.AddCommand(&cobra.Command{Use: "deep", Short: "Go deep", Run: nothing, Hidden: true})
	root.AddCommand(sub, Undocumented(&cobra.Command{Use: "own", Run: nothing}))
	return root
}

func TestPages(t *testing.T) {
	m := &Manual{Section: "1", Title: "manual", Sections: []Section{{"EXIT STATUS", "  0  good"}}, SeeAlso: []string{"ssh(1)"}}
	dir := filepath.Join(t.TempDir(), "man")
	names, err := m.Write(dir, program())
	if diff := cmp.Diff([]string{"prog.1", "prog-sub.1", "prog-sub-deep.1"}, names); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	for name, want := range map[string]string{
		"prog.1": `.TH "PROG" "1" "" "prog" "manual"
.nh
.ad l
.SH "NAME"
prog \- do things
.SH "SYNOPSIS"
\fBprog\fR \fIcommand\fR [\fIflags\fR]
.SH "DESCRIPTION"
.PP
Does things.
.PP
\&.so /etc/passwd
\(aqx and \efB
.PP
.nf
  $ prog \-\-x \(aqa\(aq

\&  .so y

.fi
.PP
The end.
.SH "COMMANDS"
.TP
\fBprog\-sub\fR(1)
HSM things
.SH "OPTIONS"
.TP
\fB\-h\fR, \fB\-\-help\fR
help for prog
.SH "EXIT STATUS"
.PP
.nf
  0  good
.fi
.SH "SEE ALSO"
.BR prog\-sub "(1),"
.BR ssh "(1)"
`,
		"prog-sub.1": `.TH "PROG\-SUB" "1" "" "prog" "manual"
.nh
.ad l
.SH "NAME"
prog\-sub \- HSM things
.SH "SYNOPSIS"
\fBprog sub FILE\fR [\fIflags\fR]
.SH "DESCRIPTION"
.PP
HSM things.
.SH "OPTIONS"
.TP
\fB\-h\fR, \fB\-\-help\fR
help for sub
.TP
\fB\-n\fR, \fB\-\-number\fR \fIint\fR
how many (default 3)
.TP
\fB\-\-out\-put\fR \fIfile\fR
the file that .x is written to
.SH "EXIT STATUS"
.PP
.nf
  0  good
.fi
.SH "SEE ALSO"
.BR prog "(1),"
.BR prog\-sub\-deep "(1),"
.BR ssh "(1)"
`,
	} {
		found, err := os.ReadFile(filepath.Join(dir, name))
		if diff := cmp.Diff(want, string(found)); diff != "" || err != nil {
			t.Errorf("%s: %v, (-want +got):\n%s", name, err, diff)
		}
	}
	again := filepath.Join(t.TempDir(), "again")
	if _, err := m.Write(again, program()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		first, _ := os.ReadFile(filepath.Join(dir, name))
		second, err := os.ReadFile(filepath.Join(again, name))
		if err != nil || string(first) != string(second) {
			t.Errorf("%s is not the same the next time: %v", name, err)
		}
	}
}

// Nothing but what this package writes is a request, whatever a text says.
func TestNoTextIsARequest(t *testing.T) {
	for _, text := range []string{".so x", "'so x", "  .so x", "a\n.so x", "\\n[x]", "a\\", "\n\n.x\n\n .y\n", "\"x"} {
		var b strings.Builder
		prose(&b, text)
		for row := range strings.Lines(b.String()) {
			row = strings.TrimSpace(row)
			if request := strings.HasPrefix(row, ".") || strings.HasPrefix(row, "'"); request && row != ".PP" && row != ".nf" && row != ".fi" {
				t.Errorf("%q: found the request %s", text, row)
			}
		}
	}
}
