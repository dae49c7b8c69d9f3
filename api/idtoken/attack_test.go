package idtoken_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
)

// What an ID token must say, each time with one thing wrong in it. All are signed
// with the issuer's own key.
func TestClaimsAreRefused(t *testing.T) {
	r := newRig(t)
	now := r.clock.Now()
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	unset := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"another audience":            {set("aud", "https://other.example.com"), `audience "https://other.example.com", want "` + idtokentest.Audience + `"`},
		"our audience and another":    {set("aud", []string{idtokentest.Audience, "other"}), "for 2 audiences"},
		"no audience in a list":       {set("aud", []string{}), "for 0 audiences"},
		"no audience":                 {unset("aud"), "no audience"},
		"audience is a number":        {set("aud", 7), "no audience"},
		"expired":                     {set("exp", now.Add(-time.Second).Unix()), "it expired at 2026-11-22T11:59:59Z, and it is 2026-11-22T12:00:00Z now"},
		"expires now":                 {set("exp", now.Unix()), "it expired"},
		"valid for too long":          {set("exp", now.Add(idtoken.MaxLifetime+time.Second).Unix()), "want at most 24h"},
		"never expires":               {unset("exp"), "no expiry"},
		"expires in the year 10000":   {set("exp", 253402300800), "exp is not a number"},
		"expiry is text":              {set("exp", "tomorrow"), "exp is not a number"},
		"expiry is a number in text":  {set("exp", "1795348000"), "exp is not a number"},
		"expiry beyond all numbers":   {set("exp", 1e300), "exp is not a number"},
		"expiry is null":              {set("exp", nil), "exp is not a number"},
		"not yet valid":               {set("nbf", now.Add(idtoken.MaxSkew+time.Second).Unix()), "it is valid from 2026-11-22T12:01:01Z"},
		"issued in the future":        {set("iat", now.Add(idtoken.MaxSkew+time.Second).Unix()), "it was issued at 2026-11-22T12:01:01Z"},
		"issued at no time":           {unset("iat"), "no time of issue"},
		"no subject":                  {unset("sub"), "no subject"},
		"empty subject":               {set("sub", ""), "no subject"},
		"subject is a number":         {set("sub", 7), "no subject"},
		"subject with a line break":   {set("sub", "a\nb"), "printable"},
		"subject that reads backward": {set("sub", "a\u202eb"), "printable"},
		"long subject":                {set("sub", strings.Repeat("a", 1025)), "1025 bytes"},
		"no jti":                      {unset("jti"), "no ID (jti): it could be replayed"},
		"empty jti":                   {set("jti", ""), "no ID (jti)"},
		"jti is a number":             {set("jti", 1), "no ID (jti)"},
		"long jti":                    {set("jti", strings.Repeat("a", 257)), "257 bytes"},
		"no issuer":                   {unset("iss"), "no issuer"},
		"unknown issuer":              {set("iss", "https://evil.example.com"), `from "https://evil.example.com"`},
		"issuer with a slash more":    {set("iss", r.URL+"/"), "want one from"},
		"issuer in capitals":          {set("iss", strings.ToUpper(r.URL)), "want one from"},
		"issuer is a list":            {set("iss", []string{r.URL}), "no issuer"},
		"9 KiB of claims":             {set("more", strings.Repeat("a", 9<<10)), "want at most 8192"},
		"600 claims in one":           {set("more", make([]int, 600)), "more than 512 values"},
		"deep claims": {func(c map[string]any) {
			v := any("bottom")
			for range 8 {
				v = []any{v}
			}
			c["more"] = v
		}, "within each other"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{r.Issuer, t, r.clock, r.v}
			r.refused(r.Token(t, r.claims(c.change)), c.want)
		})
	}
	r.good(r.Token(t, r.claims(nil))) // or all of the above shows nothing
}

// The edges of what is good.
func TestClaimsAreGood(t *testing.T) {
	r := newRig(t)
	now := r.clock.Now()
	for name, change := range map[string]func(map[string]any){
		"as it is":                nil,
		"audience in a list":      func(c map[string]any) { c["aud"] = []string{idtokentest.Audience} },
		"one second left":         func(c map[string]any) { c["exp"] = now.Add(time.Second).Unix() },
		"a whole day":             func(c map[string]any) { c["exp"] = now.Add(idtoken.MaxLifetime).Unix() },
		"issuer's clock is ahead": func(c map[string]any) { c["nbf"] = now.Add(idtoken.MaxSkew).Unix(); c["iat"] = c["nbf"] },
		"no nbf":                  func(c map[string]any) { delete(c, "nbf") },
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{r.Issuer, t, r.clock, r.v}
			r.good(r.Token(t, r.claims(change)))
		})
	}
}

// Tokens that the issuer did not sign, or not so.
func TestForgeriesAreRefused(t *testing.T) {
	r := newRig(t)
	key := r.Key()
	claims := r.claims(nil)
	good := r.Token(t, claims)
	der, err := x509.MarshalPKIXPublicKey(key.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := func(input []byte) []byte {
		mac := hmac.New(sha256.New, public)
		mac.Write(input)
		return mac.Sum(nil)
	}
	empty := func([]byte) []byte { return nil }
	some := func([]byte) []byte { return []byte("signature") }
	header := func(alg string) map[string]any { return map[string]any{"alg": alg, "kid": key.ID, "typ": "JWT"} }
	stranger := idtokentest.NewKey(t, jose.RS256)
	jwk := stranger.Public()
	jwk.KeyID = key.ID
	stranger.ID = key.ID // claims to be the issuer's key
	evil := idtokentest.New(t)
	pieces := strings.Split(good, ".")
	other := r.claims(func(c map[string]any) { c["sub"] = "repo:evil/evil" })

	for name, c := range map[string]struct{ raw, want string }{
		"alg none":                       {forge(t, header("none"), claims, empty), "signature is empty"},
		"alg none with a signature":      {forge(t, header("none"), claims, some), `signed with "none"`},
		"alg None":                       {forge(t, header("None"), claims, some), `signed with "None"`},
		"HS256 with the public key":      {forge(t, header("HS256"), claims, hs256), `signed with "HS256"`},
		"alg is a number":                {forge(t, map[string]any{"alg": 1, "kid": key.ID}, claims, some), "no alg"},
		"no alg":                         {forge(t, map[string]any{"kid": key.ID}, claims, some), "no alg"},
		"a stranger's key, our key's ID": {stranger.Sign(t, mustJSON(t, claims), nil), "not by the key"},
		"with the stranger's key in it":  {stranger.Sign(t, mustJSON(t, claims), map[string]any{"jwk": jwk}), "not by the key"},
		"with a place of keys in it":     {stranger.Sign(t, mustJSON(t, claims), map[string]any{"jku": evil.URL + idtokentest.JWKSPath}), "not by the key"},
		"with a place of certificates":   {stranger.Sign(t, mustJSON(t, claims), map[string]any{"x5u": evil.URL + "/x5u"}), "not by the key"},
		"another payload":                {pieces[0] + "." + b64(mustJSON(t, other)) + "." + pieces[2], "not by the key"},
		"another algorithm's header":     {b64(mustJSON(t, header("PS256"))) + "." + pieces[1] + "." + pieces[2], "is not for PS256"},
		"signature cut":                  {good[:len(good)-42], "not by the key"},
		"no signature":                   {pieces[0] + "." + pieces[1] + ".", "signature is empty"},
		"no kid":                         {key.Sign(t, mustJSON(t, claims), map[string]any{"kid": nil}), "no kid"},
		"empty kid":                      {key.Sign(t, mustJSON(t, claims), map[string]any{"kid": ""}), "no kid"},
		"critical extension":             {forge(t, map[string]any{"alg": "RS256", "kid": key.ID, "crit": []string{"exp"}, "exp": 1}, claims, some), "crit"},
		"payload not encoded":            {forge(t, map[string]any{"alg": "RS256", "kid": key.ID, "b64": false}, claims, some), "b64"},
		"access token":                   {key.Sign(t, mustJSON(t, claims), map[string]any{"typ": "at+jwt"}), "another typ"},
		"logout token":                   {key.Sign(t, mustJSON(t, claims), map[string]any{"typ": "logout+jwt"}), "another typ"},
		"subject twice":                  {key.Sign(t, []byte(strings.Replace(string(mustJSON(t, claims)), "{", `{"sub":"repo:evil/evil",`, 1)), nil), "a name twice"},
		"alg twice":                      {forge(t, `{"alg":"none","alg":"RS256","kid":"`+key.ID+`"}`, claims, some), "a name twice"},
		"text after the claims":          {key.Sign(t, append(mustJSON(t, claims), []byte(`{"sub":"evil"}`)...), nil), "more after"},
		"claims are a list":              {key.Sign(t, []byte(`["iss"]`), nil), "no JSON object"},
		"claims are not UTF-8":           {key.Sign(t, []byte("{\"sub\":\"\xff\"}"), nil), "not JSON at byte"},
		"claims are cut":                 {key.Sign(t, []byte(`{"iss":"`+r.URL+`"`), nil), "not JSON"},
		"1 MB":                           {strings.Repeat("a", 1<<20), "1048576 bytes, want at most 16384"},
		"1 MB of signature":              {good + strings.Repeat("a", 1<<20), "want at most 16384"},
		"header of 5 KiB":                {key.Sign(t, mustJSON(t, claims), map[string]any{"more": strings.Repeat("a", 5<<10)}), "header has"},
		"nothing":                        {"", "0 dots"},
		"two dots":                       {"..", "header is empty"},
		"garbage":                        {"\x00.\xff.\r\n", "not base64url"},
		"encrypted":                      {"a.b.c.d.e", "4 dots"},
		"padded":                         {pieces[0] + "=." + pieces[1] + "." + pieces[2], "not base64url"},
		"line breaks":                    {pieces[0] + "\n." + pieces[1] + "." + pieces[2], "not base64url"},
		"JSON form":                      {`{"payload":"` + pieces[1] + `","signatures":[]}`, "0 dots"},
	} {
		t.Run(name, func(t *testing.T) {
			(&rig{r.Issuer, t, r.clock, r.v}).refused(c.raw, c.want)
		})
	}
	r.good(good)
	if n := evil.Requests(idtokentest.JWKSPath) + evil.Requests("/x5u"); n != 0 {
		t.Errorf("keys were asked for %d times where a token said", n)
	}
}

// What the issuer puts into its headers besides does no harm.
func TestOtherHeadersAreIgnored(t *testing.T) {
	r := newRig(t)
	r.good(r.Key().Sign(t, mustJSON(t, r.claims(nil)), map[string]any{"x5t": "abc", "jku": "https://evil.example.com", "typ": nil}))
}

// One issuer cannot speak for another, not even when both are believed.
func TestIssuersAreNotConfused(t *testing.T) {
	a, b := idtokentest.New(t), idtokentest.New(t)
	c := newClock()
	v := newVerifier(t, c, zaptest.NewLogger(t),
		idtoken.Issuer{Name: "a", URL: a.URL, Audience: "for-a", CA: a.CA()},
		idtoken.Issuer{Name: "b", URL: b.URL, Audience: "for-b", CA: b.CA()})
	claims := func(is *idtokentest.Issuer, aud string) map[string]any {
		out := is.Claims(c.Now())
		out["aud"] = aud
		return out
	}
	for name, want := range map[string]*idtokentest.Issuer{"a": a, "b": b} {
		got, err := v.Verify(t.Context(), want.Token(t, claims(want, "for-"+name)))
		if err != nil || got.Issuer != name {
			t.Errorf("token of %s: got %+v, %v", name, got, err)
		}
	}
	// Signed by a, says it is from b, with b's key ID and with its own.
	lie := mustJSON(t, claims(b, "for-b"))
	asB := *a.Key()
	asB.ID = b.Key().ID
	mustRefuse(t, v, asB.Sign(t, lie, nil), "not by the key")
	c.add(time.Minute) // b may be asked for a's key ID
	mustRefuse(t, v, a.Key().Sign(t, lie, nil), "has no key")
	mustRefuse(t, v, a.Token(t, claims(a, "for-b")), `want "for-a"`)
}

func TestAlgorithmsCanBeFewer(t *testing.T) {
	is, c := idtokentest.New(t), newClock()
	v := newVerifier(t, c, zaptest.NewLogger(t), idtoken.Issuer{
		Name: "ci", URL: is.URL, Audience: idtokentest.Audience, CA: is.CA(), Algorithms: []string{"ES256"},
	})
	mustRefuse(t, v, is.Token(t, is.Claims(c.Now())), `signed with "RS256", want one of [ES256]`)
}

func TestEveryAlgorithm(t *testing.T) {
	r := newRig(t)
	for _, alg := range idtoken.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			r := &rig{r.Issuer, t, r.clock, r.v}
			r.Rotate(t, jose.SignatureAlgorithm(alg))
			r.clock.add(time.Minute) // the new key may be asked for
			r.good(r.Token(t, r.claims(nil)))
			wrong := r.claims(nil)
			raw := r.Token(t, wrong)
			flipped := []byte(raw)
			at := len(flipped) - 20
			flipped[at] = map[bool]byte{true: 'B', false: 'A'}[flipped[at] == 'A']
			r.refused(string(flipped), "not by the key")
		})
	}
}

func TestNoIssuers(t *testing.T) {
	is, c := idtokentest.New(t), newClock()
	mustRefuse(t, newVerifier(t, c, zaptest.NewLogger(t)), is.Token(t, is.Claims(c.Now())), "no token_issuers are configured")
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// A token in hand that is good keeps being judged by its own claims alone.
func TestCheckingDoesNotChangeATokenOrRememberIt(t *testing.T) {
	r := newRig(t)
	raw := r.Token(t, r.claims(nil))
	first, err := r.v.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(first.Claims, func(string, any) bool { return true })
	r.good(raw)
	r.clock.add(5 * time.Minute)
	r.refused(raw, "it expired")
}
