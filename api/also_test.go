package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

func TestSubmitWithSeveralKeysGivesAResultForEach(t *testing.T) {
	r := newRig(t, api.Config{})
	sub := wire.Submit{
		AppID: "com.acme.shop", Channel: "production", Version: "1.0.0", Digest: digest, ChecksumFormat: "legacy",
		Files: []wire.SubmitFile{{FileName: "index.html", Digest: strings.Repeat("ab", 32)}, {FileName: "main.js", Digest: strings.Repeat("cd", 32)}},
		Also:  []wire.AlsoKey{{Key: "acme-shop-new", ChecksumFormat: "hex"}},
	}
	submit := func() *answer { return r.submit(func(s *wire.Submit) { *s = sub }) }
	a := submit()
	got := a.signature(http.StatusCreated)
	signed, err := client.CheckSigned(got, client.Expect{Submit: &sub, PublicKey: r.public, AlsoKeys: []*capgo.PublicKey{r.next}, LogKey: r.verifier})
	if err != nil {
		t.Fatal(err)
	}
	also := got.Also[0]
	if also.KeyID != r.next.KeyID() || also.PublicKey != r.next.PEM() || also.Custody == nil || also.Custody.Backend != "file" || also.Files[1].FileName != "main.js" {
		t.Errorf("found %+v", also)
	}
	if also.Files[0].FileHash == got.Files[0].FileHash || signed.Also[0].Wrapped == signed.Wrapped {
		t.Error("both keys have the same result")
	}
	for what, again := range map[string]*answer{"a retry": submit(), "asking again": r.get("/v1/signatures/" + got.ID)} {
		if string(again.body) != string(a.body) {
			t.Errorf("%s gave another answer:\n%s\n%s", what, a.body, again.body)
		}
	}
	var list wire.SignatureList
	r.get("/v1/signatures").into(&list)
	if k := list.Signatures[0].Also[0]; k.Key != "acme-shop-new" || k.ChecksumFormat != "hex" || k.KeyID == "" || k.Checksum+k.SessionKey+k.PublicKey != "" || k.Files != nil {
		t.Errorf("a list has %+v, want the key without its result", k)
	}
	// Without a form it has that of the request.
	sub.Also[0].ChecksumFormat = ""
	legacy := submit().signature(http.StatusCreated)
	if _, err := client.CheckSigned(legacy, client.Expect{Submit: &sub}); err != nil || legacy.Also[0].ChecksumFormat != "legacy" {
		t.Errorf("found the form %s, %v", legacy.Also[0].ChecksumFormat, err)
	}
}

func TestFurtherKeysAreCheckedByField(t *testing.T) {
	if wire.MaxAlso != signer.MaxAlso {
		t.Errorf("clients are told that %d further keys are allowed, and %d are", wire.MaxAlso, signer.MaxAlso)
	}
	r := newRig(t, api.Config{})
	four := slices.Repeat([]wire.AlsoKey{{Key: "acme-shop-new"}}, 4)
	for field, c := range map[string]struct {
		key  string
		also []wire.AlsoKey
	}{
		"/also":                   {"", four},
		"/also/1/key":             {"", four[:2]},
		"/also/0/key":             {"acme-shop", []wire.AlsoKey{{Key: "acme-shop"}}},
		"/also/0/checksum_format": {"", []wire.AlsoKey{{Key: "acme-shop-new", ChecksumFormat: "crc32"}}},
	} {
		p := r.submit(func(s *wire.Submit) { s.Key, s.Also = c.key, c.also }).problem(422, wire.ProblemInvalidField)
		if p.Field != field {
			t.Errorf("found field %s, want %s: %s", p.Field, field, p.Detail)
		}
	}
	r.submit(func(s *wire.Submit) { s.AppID, s.Also = "com.acme.bank", four[:1] }).problem(422, wire.ProblemNoKey)
	for _, also := range []string{`[{"key":"acme-shop-new","session_key":"AAAA"}]`, `["acme-shop-new"]`, `{"key":"acme-shop-new"}`} {
		a := r.post(`{"app_id":"com.acme.shop","channel":"production","version":"1.0.0","digest":"` + digest + `","also":` + also + `}`)
		if a.status != 422 && a.status != 400 {
			t.Errorf("%s: status %d, want it refused", also, a.status)
		}
	}
}

func TestStatementOfSeveralKeysIsWhatTheClientShows(t *testing.T) {
	r := newRig(t, api.Config{})
	sig := r.submit(func(s *wire.Submit) {
		s.Channel, s.Also = "approved", []wire.AlsoKey{{Key: "acme-shop-new", ChecksumFormat: "legacy"}}
	}).signature(http.StatusAccepted)
	text, err := client.CheckStatement(sig)
	if err != nil || !strings.Contains(text, "\nalso key: acme-shop-new, "+r.next.Fingerprint()+", checksum format legacy\n") {
		t.Fatalf("found %v:\n%s", err, sig.Statement)
	}
	for _, p := range []interface{ Sign(string, string) string }{r.alice, r.bob} {
		sig = r.approve(sig.ID, p.Sign(policy.ApprovalNamespace, text)).signature(http.StatusOK)
	}
	if sig = r.get("/v1/signatures/" + sig.ID + "?wait=30s").signature(http.StatusOK); sig.State != "signed" || sig.Also[0].Checksum == "" {
		t.Errorf("found %s: %s", sig.State, sig.Reason)
	}
}

// People can say yes or no to what waits, whatever became of the names of its keys.
func TestPendingRequestOfKeysThatWereRenamedOrRemoved(t *testing.T) {
	r := newRig(t, api.Config{})
	submit := func(version string) *wire.Signature {
		return r.submit(func(s *wire.Submit) {
			s.Channel, s.Version, s.Also = "approved", version, []wire.AlsoKey{{Key: "acme-shop-new", ChecksumFormat: "legacy"}}
		}).signature(http.StatusAccepted)
	}
	first, second := submit("1.0.0"), submit("1.0.1")
	statement := func(id string) string {
		t.Helper()
		text, err := client.CheckStatement(r.get("/v1/signatures/" + id).signature(http.StatusOK))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	r.stop()
	r.config.Keys[0].Name, r.config.Keys[1].Name = "shop", "shop-new"
	r.start()
	sig := r.get("/v1/signatures/" + first.ID).signature(http.StatusOK)
	if sig.PublicKey != r.public.PEM() || sig.Also[0].PublicKey != r.next.PEM() {
		t.Error("the public keys are not there under the new names")
	}
	text := statement(first.ID)
	for _, p := range []interface{ Sign(string, string) string }{r.alice, r.bob} {
		r.approve(first.ID, p.Sign(policy.ApprovalNamespace, text)).signature(http.StatusOK)
	}
	if sig = r.get("/v1/signatures/" + first.ID + "?wait=30s").signature(http.StatusOK); sig.State != "signed" {
		t.Errorf("found %s: %s", sig.State, sig.Reason)
	}
	r.stop()
	r.config.Keys = r.config.Keys[:1]
	r.start()
	if sig = r.get("/v1/signatures/" + second.ID).signature(http.StatusOK); sig.Also[0].PublicKey != "" {
		t.Errorf("found the public key %q of a key that is gone", sig.Also[0].PublicKey)
	}
	statement(second.ID)
}
