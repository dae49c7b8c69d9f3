package idtoken_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
)

// asked is how often the issuer was asked for its keys.
func (r *rig) asked() int { return r.Requests(idtokentest.JWKSPath) }

func TestKeysAreCached(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.good(r.Token(t, r.claims(nil)))
	}
	if r.asked() != 1 {
		t.Errorf("the issuer was asked %d times, want once", r.asked())
	}
	r.clock.add(10 * time.Minute)
	r.good(r.Token(t, r.claims(nil)))
	if r.asked() != 2 {
		t.Errorf("the issuer was asked %d times, want again after ten minutes", r.asked())
	}
}

func TestRotation(t *testing.T) {
	r := newRig(t)
	old := r.Key()
	r.good(r.Token(t, r.claims(nil)))
	r.Rotate(t, jose.ES256)
	r.clock.add(time.Minute)
	r.good(r.Token(t, r.claims(nil))) // found by asking for its new ID
	r.clock.add(time.Minute)
	r.refused(old.Sign(t, mustJSON(t, r.claims(nil)), nil), "has no key")
}

// A key that the issuer has taken back is believed for ten minutes at most.
func TestRetiredKeyIsForgotten(t *testing.T) {
	r := newRig(t)
	old := r.Key()
	r.good(r.Token(t, r.claims(nil)))
	r.Rotate(t, jose.ES256)
	r.clock.add(10 * time.Minute)
	r.refused(old.Sign(t, mustJSON(t, r.claims(nil)), nil), "has no key")
}

// A flood of tokens with key IDs of a stranger's makes few requests, and a token
// with a new key is told when to come back.
func TestUnknownKeysAreBounded(t *testing.T) {
	r := newRig(t)
	stranger := idtokentest.NewKey(t, jose.ES256)
	for range 200 {
		stranger.ID += "x"
		if len(stranger.ID) > 200 {
			stranger.ID = "y"
		}
		raw := stranger.Sign(t, mustJSON(t, r.claims(nil)), nil)
		if _, err := r.v.Verify(t.Context(), raw); err == nil {
			t.Fatal("a stranger's token is believed")
		}
	}
	if r.asked() != 1 {
		t.Errorf("the issuer was asked %d times, want once", r.asked())
	}
	r.Rotate(t, jose.ES256)
	raw := r.Token(t, r.claims(nil))
	away := r.unavailable(raw, "is not among its keys")
	if away.Retry > 30*time.Second {
		t.Errorf("to be tried again after %v, want at most 30 s", away.Retry)
	}
	r.clock.add(away.Retry)
	r.good(raw)
}

func TestIssuerIsAway(t *testing.T) {
	r := newRig(t)
	r.Down(true)
	away := r.unavailable(r.Token(t, r.claims(nil)), "its keys cannot be got")
	r.unavailable(r.Token(t, r.claims(nil)), "its keys cannot be got")
	if n := r.Requests(idtokentest.DiscoveryPath); n != 1 {
		t.Errorf("the issuer was asked %d times in no time, want once", n)
	}
	r.clock.add(away.Retry)
	r.Down(false)
	r.good(r.Token(t, r.claims(nil)))

	// With keys, it can be away for a day.
	r.Down(true)
	r.clock.add(23 * time.Hour)
	r.good(r.Token(t, r.claims(nil)))
	r.refused(r.Key().Sign(t, mustJSON(t, r.claims(func(c map[string]any) { c["aud"] = "x" })), nil), "audience")
	stranger := idtokentest.NewKey(t, jose.ES256)
	r.unavailable(stranger.Sign(t, mustJSON(t, r.claims(nil)), nil), "its keys cannot be got")
	r.clock.add(time.Hour)
	r.unavailable(r.Token(t, r.claims(nil)), "its keys cannot be got")
	r.Down(false)
	r.clock.add(time.Minute)
	r.good(r.Token(t, r.claims(nil)))
}

// A clock that is set back does not make keys fresh.
func TestClockSetBack(t *testing.T) {
	r := newRig(t)
	r.good(r.Token(t, r.claims(nil)))
	r.clock.add(-time.Hour)
	r.good(r.Token(t, r.claims(nil)))
	if r.asked() != 2 {
		t.Errorf("the issuer was asked %d times, want again: keys from the future are not fresh", r.asked())
	}
}

// Whatever the issuer's server says, there is an error and no more than a bounded
// amount is read.
func TestIssuerAnswersBadly(t *testing.T) {
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	is, other := idtokentest.New(t), idtokentest.New(t)
	private := idtokentest.NewKey(t, jose.RS256)
	weak := `{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("A", 150) + `AQ"}]}`
	for name, c := range map[string]struct {
		path string
		h    http.HandlerFunc
		want string
	}{
		"discovery is HTML":        {idtokentest.DiscoveryPath, text("<html>"), "no discovery document"},
		"discovery of another":     {idtokentest.DiscoveryPath, text(`{"issuer":"https://evil.example.com","jwks_uri":"` + other.URL + `/keys"}`), "found the document of issuer"},
		"keys over http":           {idtokentest.DiscoveryPath, text(`{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1:1/keys"}`), "begins with https"},
		"keys in a file":           {idtokentest.DiscoveryPath, text(`{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`), "begins with https"},
		"no place of keys":         {idtokentest.DiscoveryPath, text(`{"issuer":"ISSUER"}`), "begins with https"},
		"redirect to http":         {idtokentest.JWKSPath, redirect("http://127.0.0.1:1/"), "redirect to http"},
		"redirect to another host": {idtokentest.JWKSPath, redirect(other.URL + "/keys"), "want none to another place"},
		"redirects without end":    {idtokentest.JWKSPath, redirect(idtokentest.JWKSPath), "more than 3 redirects"},
		"keys without end":         {idtokentest.JWKSPath, endless, "more than 262144 bytes"},
		"discovery without end":    {idtokentest.DiscoveryPath, endless, "more than 65536 bytes"},
		"status 500":               {idtokentest.JWKSPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "status 500"},
		"keys are HTML":            {idtokentest.JWKSPath, text("<html>"), "no JSON Web Key Set"},
		"keys twice":               {idtokentest.JWKSPath, text(`{"keys":[],"keys":[]}`), "no JSON Web Key Set"},
		"no keys":                  {idtokentest.JWKSPath, text(`{"keys":[]}`), "found 0 keys"},
		"101 keys":                 {idtokentest.JWKSPath, text(`{"keys":[` + strings.TrimSuffix(strings.Repeat("{},", 101), ",") + `]}`), "at most 100"},
		"a private key": {idtokentest.JWKSPath, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(mustJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Private, KeyID: "a", Use: "sig"}}}))
		}, "none that can verify"},
		"a secret":         {idtokentest.JWKSPath, text(`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`), "none that can verify"},
		"a weak key":       {idtokentest.JWKSPath, text(weak), "none that can verify"},
		"a key of no ID":   {idtokentest.JWKSPath, text(strings.Replace(weak, `"kid":"a",`, "", 1)), "none that can verify"},
		"a broken P-256":   {idtokentest.JWKSPath, text(`{"keys":[{"kty":"EC","kid":"a","crv":"P-256","x":"AAAA","y":"AAAA"}]}`), "none that can verify"},
		"hangs up at once": {idtokentest.JWKSPath, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			core, logged := observer.New(zap.WarnLevel)
			v := newVerifier(t, clock, zap.New(core), idtoken.Issuer{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, CA: is.CA()})
			is.Answer(c.path, func(w http.ResponseWriter, r *http.Request) {
				c.h(&replacing{w, "ISSUER", is.URL}, r)
			})
			defer is.Answer(c.path, nil)
			r := &rig{is, t, clock, v}
			r.unavailable(r.Token(t, r.claims(nil)), "its keys cannot be got")
			if logged.Len() != 1 || !strings.Contains(fmt.Sprint(logged.All()[0].ContextMap()["error"]), c.want) {
				t.Errorf("logged %v, want one line with %q", logged.All(), c.want)
			}
		})
	}
	if n := other.Requests(idtokentest.JWKSPath); n != 0 {
		t.Errorf("another host was asked %d times", n)
	}
}

// replacing writes the issuer's URL for a word.
type replacing struct {
	http.ResponseWriter
	word, url string
}

func (r *replacing) Write(p []byte) (int, error) {
	if _, err := r.ResponseWriter.Write([]byte(strings.ReplaceAll(string(p), r.word, r.url))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A server that nobody trusted vouches for is not an issuer.
func TestUntrustedServer(t *testing.T) {
	is, clock := idtokentest.New(t), newClock()
	for name, conf := range map[string]idtoken.Issuer{
		"the system's authorities": {},
		"another authority":        {CA: noAuthority()},
	} {
		conf.Name, conf.URL, conf.Audience = "ci", is.URL, idtokentest.Audience
		core, logged := observer.New(zap.WarnLevel)
		r := &rig{is, t, clock, newVerifier(t, clock, zap.New(core), conf)}
		r.unavailable(r.Token(t, r.claims(nil)), "its keys cannot be got")
		if logged.Len() != 1 || !strings.Contains(fmt.Sprint(logged.All()[0].ContextMap()["error"]), "certificate") {
			t.Errorf("%s: logged %v, want what is wrong with the certificate", name, logged.All())
		}
	}
}

// While the issuer is slow, those whose keys are known do not wait, those that
// have to wait can give up, and their giving up does not stop the asking.
func TestSlowIssuer(t *testing.T) {
	r := newRig(t)
	first := r.Token(t, r.claims(nil))
	r.good(first)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.Answer(idtokentest.DiscoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(entered) })
		<-release
		_, _ = w.Write(mustJSON(t, map[string]string{"issuer": r.URL, "jwks_uri": r.URL + idtokentest.JWKSPath}))
	})
	r.clock.add(time.Minute)
	r.Rotate(t, jose.ES256)
	fresh := r.Token(t, r.claims(nil))
	ctx, cancel := context.WithCancel(t.Context())
	asking := make(chan error, 1)
	go func() {
		_, err := r.v.Verify(ctx, fresh)
		asking <- err
	}()
	<-entered
	cancel() // who asks hangs up

	r.good(first) // its key is known

	waiting, giveUp := context.WithCancel(t.Context())
	giveUp()
	var away *idtoken.UnavailableError
	if _, err := r.v.Verify(waiting, fresh); !errors.As(err, &away) {
		t.Errorf("who does not wait gets %v, want that the token cannot be judged now", err)
	}
	close(release)
	if err := <-asking; err != nil {
		t.Errorf("who asked: %v", err)
	}
	r.good(fresh)
	if n := r.Requests(idtokentest.DiscoveryPath); n != 2 {
		t.Errorf("the issuer was asked %d times, want twice", n)
	}
}

// Many at once that need a key are one question.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	raw := r.Token(t, r.claims(nil))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.v.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r.asked() != 1 {
		t.Errorf("the issuer was asked %d times, want once", r.asked())
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	good := idtoken.Issuer{Name: "ci", URL: "https://ci.example.com", Audience: "a"}
	for name, c := range map[string]struct {
		change func(*idtoken.Issuer)
		want   string
	}{
		"http":             {func(i *idtoken.Issuer) { i.URL = "http://ci.example.com" }, "https://"},
		"query":            {func(i *idtoken.Issuer) { i.URL += "?a=b" }, "without query"},
		"empty query":      {func(i *idtoken.Issuer) { i.URL += "?" }, "without query"},
		"fragment":         {func(i *idtoken.Issuer) { i.URL += "#a" }, "without query"},
		"no host":          {func(i *idtoken.Issuer) { i.URL = "https:///a" }, "https://"},
		"not a URL":        {func(i *idtoken.Issuer) { i.URL = "https://[" }, "want a URL"},
		"password":         {func(i *idtoken.Issuer) { i.URL = "https://a:secret@ci.example.com" }, "password"},
		"no name":          {func(i *idtoken.Issuer) { i.Name = "" }, "name and an audience"},
		"no audience":      {func(i *idtoken.Issuer) { i.Audience = "" }, "name and an audience"},
		"symmetric":        {func(i *idtoken.Issuer) { i.Algorithms = []string{"HS256"} }, "HS256"},
		"the algorithm ''": {func(i *idtoken.Issuer) { i.Algorithms = []string{""} }, "algorithm"},
	} {
		conf := good
		c.change(&conf)
		_, err := idtoken.New(idtoken.Config{Issuers: []idtoken.Issuer{conf}, Now: time.Now, Log: zaptest.NewLogger(t)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	second := good
	second.Name = "other"
	if _, err := idtoken.New(idtoken.Config{Issuers: []idtoken.Issuer{good, second}, Now: time.Now, Log: zaptest.NewLogger(t)}); err == nil {
		t.Error("two issuers with one URL are accepted")
	}
}
