package api

import (
	"context"
	"net/http"
	"strings"
	"unicode"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Approvals is what people say about requests and freezes; [signer.Signer] judges
// it. Who brings a signature does not matter, only whose it is: a person's
// colleague, or a program, may be the one that is connected.
type Approvals interface {
	Approve(ctx context.Context, id, sshsig string) (*signer.Request, error)
	Reject(ctx context.Context, id, sshsig, reason string) (*signer.Request, error)
	Missing(r *signer.Request) []policy.Missing
	Freeze(ctx context.Context, f signer.Freeze, who policy.Identity, operator bool) (*signer.Freeze, error)
	Thaw(ctx context.Context, id, sshsig string, who policy.Identity, operator bool) (*signer.Freeze, error)
	Freezes(ctx context.Context) ([]signer.Freeze, error)
	MissingThaw(f *signer.Freeze) []policy.Missing
}

// The armor of an SSH signature (PROTOCOL.sshsig of OpenSSH).
const (
	sshsigBegin = "-----BEGIN SSH SIGNATURE-----\n"
	sshsigEnd   = "-----END SSH SIGNATURE-----"
	// maxSSHSig is the longest in bytes: one of a 16384-bit RSA key has about 6 KiB.
	maxSSHSig = 32 << 10
	// maxWhy is the longest reason of a rejection, a freeze or an emergency, in bytes:
	// people read it before they sign.
	maxWhy = 500
)

// approve is POST /v1/signatures/{id}/approvals.
func (s *Server) approve(w http.ResponseWriter, r *http.Request) error {
	body, err := s.signedWord(w, r)
	if err != nil {
		return err
	}
	if body.Reason != "" {
		return badField("/reason", "an approval has none; only a rejection has")
	}
	req, err := s.core.Approve(r.Context(), r.PathValue("id"), body.SSHSig)
	if err != nil {
		return err
	}
	return s.writeSignature(w, r, http.StatusOK, req)
}

// reject is POST /v1/signatures/{id}/rejections.
func (s *Server) reject(w http.ResponseWriter, r *http.Request) error {
	body, err := s.signedWord(w, r)
	if err != nil {
		return err
	}
	why, err := reasonOf(body.Reason, maxWhy)
	if err != nil {
		return err
	}
	req, err := s.core.Reject(r.Context(), r.PathValue("id"), body.SSHSig, why)
	if err != nil {
		return err
	}
	return s.writeSignature(w, r, http.StatusOK, req)
}

// signedWord reads the body of an approval or a rejection.
func (s *Server) signedWord(w http.ResponseWriter, r *http.Request) (*wire.SSHSig, error) {
	if err := newQuery(r).done(); err != nil {
		return nil, err
	}
	body := new(wire.SSHSig)
	if err := s.decode(w, r, body); err != nil {
		return nil, err
	}
	return body, checkSSHSig(body.SSHSig)
}

// checkSSHSig accepts what has the form of an armored SSH signature. Whether it
// is one, and whose, is for the core to find out.
func checkSSHSig(text string) error {
	const want = "want what ssh-keygen -Y sign writes, from -----BEGIN SSH SIGNATURE----- on"
	if text == "" {
		return badField("/sshsig", "found nothing, %s", want)
	}
	if len(text) > maxSSHSig {
		return badField("/sshsig", "found %d bytes, want at most %d", len(text), maxSSHSig)
	}
	inner, begun := strings.CutPrefix(text, sshsigBegin)
	inner, ended := strings.CutSuffix(strings.TrimSuffix(inner, "\n"), sshsigEnd)
	if !begun || !ended {
		return badField("/sshsig", "found no armored SSH signature, %s", want)
	}
	if strings.ContainsFunc(inner, notBase64) {
		return badField("/sshsig", "found more than lines of base64 in it, %s", want)
	}
	return nil
}

func notBase64(c rune) bool {
	alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return !alphanumeric && c != '+' && c != '/' && c != '=' && c != '\n'
}

// reasonOf accepts one line that says why.
func reasonOf(text string, most int) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", badField("/reason", "found nothing, want why; it goes into the log")
	}
	return text, checkLine("/reason", text, most)
}

// checkLine accepts what people may say in one line. It becomes part of what
// others sign, and nobody signs what they cannot read: there is nothing in it that
// is not printed, or that changes the order in which the rest is.
func checkLine(field, text string, most int) error {
	if err := checkText(field, text, most); err != nil {
		return err
	}
	if i := strings.IndexFunc(text, unprintable); i >= 0 {
		return badField(field, "found a character at byte %d that cannot be printed, want one line of text", i)
	}
	return nil
}

func unprintable(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) }

func approval(a *policy.Approval) wire.Approval {
	return wire.Approval{Person: a.Person, Key: a.Key, Time: a.Time, UserVerified: a.UserVerified, SSHSig: a.SSHSIG}
}

func approvals(in []policy.Approval) []wire.Approval {
	var out []wire.Approval
	for i := range in {
		out = append(out, approval(&in[i]))
	}
	return out
}

func missing(in []policy.Missing) []wire.Missing {
	var out []wire.Missing
	for _, m := range in {
		w := wire.Missing{From: m.From, Count: m.Count, UserVerification: m.UserVerification, Candidates: m.Candidates}
		if w.Candidates == nil {
			w.Candidates = []string{} // there is nobody, which is not the same as not knowing
		}
		if w.From == nil {
			w.From = []string{}
		}
		out = append(out, w)
	}
	return out
}
