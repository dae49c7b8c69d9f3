package pkcs11

import (
	"strconv"
	"strings"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

const (
	// maxText is how much of a text of a child's is shown.
	maxText = 300
	// maxFound is how many names in a list are.
	maxFound = 8
)

// fit makes what a child said fit for messages and logs before anybody sees it.
func (p *process) fit(f *proto.Fault) *proto.Fault {
	f.Kind = proto.Kind(p.show(string(f.Kind)))
	f.Call = p.show(f.Call)
	f.Detail = p.show(f.Detail)
	f.Found = f.Found[:min(len(f.Found), maxFound)]
	for i := range f.Found {
		f.Found[i] = p.show(f.Found[i])
	}
	return f
}

// show returns a text short, on one line, printable, and without the PIN.
func (p *process) show(s string) string {
	s = p.strike(s)
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	quoted := strconv.QuoteToGraphic(strings.ToValidUTF8(s, "?"))
	return quoted[1 : len(quoted)-1]
}

// list writes names for a message.
func list(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = `"` + name + `"`
	}
	return strings.Join(out, ", ")
}
