package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
)

const goodDigest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

// pending is a request as an honest daemon shows it.
func pending() *wire.Signature {
	return &wire.Signature{
		ID: "r1", State: StatePending, AppID: "com.acme.shop", Channel: "production", Version: "1.4.0", Digest: goodDigest,
		Statement: "bundlesign approval v1\nrequest: r1\napp: com.acme.shop\nchannel: production\nversion: 1.4.0\n" +
			"digest: sha256:" + goodDigest + "\nlabel: commit = \nlabel: über = 日本\n",
	}
}

func TestStatementIsTheTextToTheByte(t *testing.T) {
	sig := pending()
	text, err := CheckStatement(sig)
	if err != nil || text != sig.Statement {
		t.Fatalf("found %q, %v", text, err)
	}
	sig.BreakGlass = "the shop is down"
	sig.Statement = strings.Replace(sig.Statement, "\n", "\nEMERGENCY: the shop is down\n", 1)
	if _, err := CheckStatement(sig); err != nil {
		t.Error(err)
	}
}

// What a daemon could have a person sign that is not what they see.
func TestStatementsThatAreNotSigned(t *testing.T) {
	replace := func(old, text string) func(*wire.Signature) {
		return func(s *wire.Signature) { s.Statement = strings.Replace(s.Statement, old, text, 1) }
	}
	for name, c := range map[string]struct {
		change func(*wire.Signature)
		want   string
	}{
		"none":              {func(s *wire.Signature) { s.Statement = "" }, "found none"},
		"another title":     {replace("approval v1", "approval v2"), `want "bundlesign approval v1"`},
		"a thaw":            {replace("approval v1", "thaw v1"), "it begins with"},
		"leading line":      {func(s *wire.Signature) { s.Statement = "\n" + s.Statement }, "it begins with"},
		"no line end":       {func(s *wire.Signature) { s.Statement = strings.TrimSuffix(s.Statement, "\n") }, "no end"},
		"another request":   {replace("request: r1", "request: r2"), "it says request"},
		"another app":       {replace("com.acme.shop", "com.acme.bank"), "it says app"},
		"another channel":   {replace("production", "beta"), "it says channel"},
		"another version":   {replace("1.4.0", "1.4.1"), "it says version"},
		"another digest":    {replace("6b86", "6b87"), "it says digest"},
		"digest without":    {replace("digest: sha256:"+goodDigest+"\n", ""), "found 0 lines"},
		"digest twice":      {replace("label: commit", "digest: sha256:"+goodDigest+"\nlabel: commit"), "found 2 lines"},
		"escape":            {replace("commit = ", "commit = \x1b[2J"), "U+001B"},
		"carriage return":   {replace("commit = ", "commit = \r"), "U+000D"},
		"backspace":         {replace("commit = ", "commit = \b"), "U+0008"},
		"C1 control":        {replace("commit = ", "commit = \u009b2J"), "U+009B"},
		"right to left":     {replace("commit = ", "commit = \u202e"), "U+202E"},
		"isolate":           {replace("commit = ", "commit = \u2066"), "U+2066"},
		"zero width":        {replace("commit = ", "commit = \u200b"), "U+200B"},
		"byte order mark":   {func(s *wire.Signature) { s.Statement = "\ufeff" + s.Statement }, "U+FEFF"},
		"line separator":    {replace("commit = ", "commit = \u2028"), "U+2028"},
		"tab":               {replace("commit = ", "commit = \t"), "U+0009"},
		"not UTF-8":         {replace("commit = ", "commit = \xff"), "not UTF-8"},
		"long line":         {replace("commit = ", "commit = "+strings.Repeat("x", 5000)), "bytes, want at most 4096"},
		"long":              {replace("label", strings.Repeat("x: y\n", 20000)+"label"), "want at most 65536"},
		"sudden emergency":  {replace("request", "EMERGENCY: now\nrequest"), "an emergency in it"},
		"hushed emergency":  {func(s *wire.Signature) { s.BreakGlass = "now" }, `found 0 lines "EMERGENCY"`},
		"another emergency": {func(s *wire.Signature) { s.BreakGlass = "now"; replace("request", "EMERGENCY: no\nrequest")(s) }, "it says EMERGENCY"},
	} {
		t.Run(name, func(t *testing.T) {
			sig := pending()
			c.change(sig)
			text, err := CheckStatement(sig)
			var untrusted *UntrustedError
			if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), c.want) || text != "" {
				t.Errorf("found %q, %v; want it not trusted: %q", text, err, c.want)
			}
		})
	}
	for _, state := range []string{StateAuthorized, StateSigned, StateRejected, "\x1b[2J"} {
		sig := pending()
		sig.State = state
		var untrusted *UntrustedError
		if _, err := CheckStatement(sig); err == nil || errors.As(err, &untrusted) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: found %v, want that it is not pending", state, err)
		}
	}
}

func TestThawStatements(t *testing.T) {
	all := wire.Freeze{ID: "f1", All: true, Reason: "why", Statement: "bundlesign thaw v1\nfreeze: f1\nfrozen: everything\nreason: why\nby: root\n"}
	app, key := all, all
	app.All, app.AppID, app.Statement = false, "com.acme.shop", strings.Replace(all.Statement, "everything", "app com.acme.shop", 1)
	key.All, key.Key, key.Statement = false, "acme", strings.Replace(all.Statement, "everything", "key acme", 1)
	for _, f := range []wire.Freeze{all, app, key} {
		if text, err := CheckThaw(&f); err != nil || text != f.Statement {
			t.Errorf("found %q, %v", text, err)
		}
	}
	for want, change := range map[string]func(*wire.Freeze){
		"it says freeze": func(f *wire.Freeze) { f.ID = "f2" },
		"it says frozen": func(f *wire.Freeze) { f.All, f.AppID = false, "com.acme.shop" },
		"it says reason": func(f *wire.Freeze) { f.Reason = "another" },
		"U+202E":         func(f *wire.Freeze) { f.Statement += "x\u202e\n" },
		"it begins with": func(f *wire.Freeze) { f.Statement = pending().Statement },
	} {
		f := all
		change(&f)
		if _, err := CheckThaw(&f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
}

func TestWaitsFor(t *testing.T) {
	found := WaitsFor([]wire.Missing{
		{From: []string{"release", "leads"}, Count: 2, Candidates: []string{"alice", "bob"}},
		{From: []string{"security"}, Count: 1, UserVerification: true},
	})
	want := "2 of release or leads: alice, bob; and for 1 of security with a FIDO2 key that verifies its user: there is nobody who could"
	if found != want {
		t.Errorf("found %q, want %q", found, want)
	}
	if found := WaitsFor(nil); found != "" {
		t.Errorf("found %q for nobody", found)
	}
}
