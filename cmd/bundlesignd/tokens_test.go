package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/config"
)

// A CI job with a token of a real issuer has signed what its claims allow, and
// nothing else; one whose token is not good gets nothing at all.
func TestTokensOfCIJobs(t *testing.T) {
	over, file := idtokentest.New(t), idtokentest.New(t)
	dir := initialized(t)
	edit(t, dir, "\nlog:\n", fmt.Sprintf(`
token_issuers:
  - {name: ci, issuer: %q, audience: %q, ca_file: %q}
  - {name: offline, issuer: %q, audience: %q, jwks_file: %q, algorithms: [RS256]}
log:
`, over.URL, idtokentest.Audience, over.CAFile(t), file.URL, idtokentest.Audience, file.JWKSFile(t)))
	rules := `rules:
  - {name: jobs, apps: [com.acme.shop], tokens: [ci, offline], when: 'claims.ref == "refs/heads/main"', effect: allow}
`
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, dir)
	d.usable()
	submit := func(n int, is *idtokentest.Issuer, change func(map[string]any)) (*wire.Signature, error) {
		t.Helper()
		claims := is.Claims(time.Now())
		claims["ref"] = "refs/heads/main"
		if change != nil {
			change(claims)
		}
		c := client.New(filepath.Join(dir, "bundlesignd.sock"), client.WithToken(is.Token(t, claims)))
		defer c.Close()
		return c.SubmitAndWait(t.Context(), bundle(n), "")
	}
	for n, is := range []*idtokentest.Issuer{over, file} {
		sig, err := submit(n, is, nil)
		if err != nil || sig.State != "signed" || sig.Requester.Token == nil {
			t.Fatalf("%s: got %+v, %v, want it signed\n%s", is.URL, sig, err, d.log)
		}
	}
	refused := func(typ string, _ *wire.Signature, err error) {
		t.Helper()
		var p *wire.Problem
		if !errors.As(err, &p) || p.Type != typ {
			t.Errorf("got %v, want %s", err, typ)
		}
	}
	sig, err := submit(2, over, func(c map[string]any) { c["ref"] = "refs/heads/evil" })
	refused(wire.ProblemDenied, sig, err)
	sig, err = submit(3, over, func(c map[string]any) { c["aud"] = "other" })
	refused(wire.ProblemToken, sig, err)
	sig, err = submit(4, over, func(c map[string]any) { c["iss"] = file.URL })
	refused(wire.ProblemToken, sig, err)
	sig, err = d.client.SubmitAndWait(t.Context(), bundle(5), "")
	refused(wire.ProblemDenied, sig, err)
	if strings.Contains(d.log.String(), "eyJ") {
		t.Errorf("the log shows a part of a token:\n%s", d.log)
	}
	d.stop()
}

// The configuration knows the same algorithms as the package that checks.
func TestTokenAlgorithms(t *testing.T) {
	dir, list := initialized(t), "[]"
	edit(t, dir, "\nlog:\n", "\ntoken_issuers: [{name: a, issuer: 'https://a.example', audience: b, algorithms: []}]\nlog:\n")
	for _, alg := range append(idtoken.Algorithms(), "HS256", "none") {
		cfg := config.Default()
		cfg.TokenIssuers = []config.TokenIssuer{{Name: "a", Issuer: "https://a.example", Audience: "b", Algorithms: []string{alg}}}
		_, err := newTokens(cfg, zap.NewNop())
		if good := slices.Contains(idtoken.Algorithms(), alg); (err == nil) != good {
			t.Errorf("%s: got %v", alg, err)
		}
		edit(t, dir, "algorithms: "+list, "algorithms: ["+alg+"]")
		list = "[" + alg + "]"
		_, _, loadErr := config.Load(filepath.Join(dir, "config.yaml"), config.Options{})
		if (loadErr == nil) != (err == nil) {
			t.Errorf("%s: the configuration says %v, package idtoken %v", alg, loadErr, err)
		}
	}
}
