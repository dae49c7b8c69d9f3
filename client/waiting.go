package client

import (
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
)

// WaitsFor says in words who still has to agree, such as
// "2 of release-managers: alice, bob, carol", or "" if nobody has.
func WaitsFor(missing []wire.Missing) string {
	var all []string
	for _, m := range missing {
		text := fmt.Sprintf("%d of %s", m.Count, strings.Join(m.From, " or "))
		if m.UserVerification {
			text += " with a FIDO2 key that verifies its user"
		}
		if len(m.Candidates) == 0 {
			text += ": there is nobody who could"
		} else {
			text += ": " + strings.Join(m.Candidates, ", ")
		}
		all = append(all, text)
	}
	return strings.Join(all, "; and for ")
}
