package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
)

func TestUpperCaseDigestIsNormalised(t *testing.T) {
	r := newRig(t, api.Config{})
	lower := r.submit(nil).signature(http.StatusCreated)
	upper := r.submit(func(s *wire.Submit) { s.Digest = strings.ToUpper(digest) }).signature(http.StatusCreated)
	if upper.ID != lower.ID || upper.Digest != digest {
		t.Errorf("upper case gave %s with %s, want the same record %s", upper.ID, upper.Digest, lower.ID)
	}
}

func TestBadBodies(t *testing.T) {
	r := newRig(t, api.Config{})
	good := `{"app_id":"com.acme.shop","channel":"production","version":"1.0.0","digest":"` + digest + `"}`
	with := func(member string) string { return strings.Replace(good, "}", ","+member+"}", 1) }
	for name, c := range map[string]struct {
		body   string
		status int
		typ    string
		field  string
		want   string
	}{
		"empty":             {"", 400, wire.ProblemInvalidBody, "", "found nothing"},
		"truncated":         {good[:40], 400, wire.ProblemInvalidBody, "", "truncated"},
		"not JSON":          {"hello", 400, wire.ProblemInvalidBody, "", "not JSON"},
		"an array":          {"[]", 400, wire.ProblemInvalidBody, "", "want an object"},
		"two values":        {good + good, 400, wire.ProblemInvalidBody, "", "byte"},
		"unknown field":     {with(`"sudo":true`), 422, wire.ProblemInvalidField, "/sudo", "no such field"},
		"unknown in files":  {with(`"files":[{"file_name":"a","digest":"` + digest + `","x":1}]`), 422, wire.ProblemInvalidField, "/files/0/x", "no such field"},
		"other case":        {strings.Replace(good, "app_id", "App_ID", 1), 422, wire.ProblemInvalidField, "/App_ID", "no such field"},
		"duplicate field":   {with(`"channel":"staging"`), 422, wire.ProblemInvalidField, "/channel", "found twice"},
		"wrong type":        {strings.Replace(good, `"1.0.0"`, `1`, 1), 422, wire.ProblemInvalidField, "/version", "found a JSON number, want a string"},
		"invalid UTF-8":     {strings.Replace(good, "production", "prod\xff", 1), 400, wire.ProblemInvalidBody, "", "UTF-8"},
		"digest of 63":      {strings.Replace(good, digest, digest[1:], 1), 422, wire.ProblemInvalidField, "/digest", "found 63 characters"},
		"digest of 65":      {strings.Replace(good, digest, digest+"0", 1), 422, wire.ProblemInvalidField, "/digest", "found 65 characters"},
		"digest not hex":    {strings.Replace(good, digest, "g"+digest[1:], 1), 422, wire.ProblemInvalidField, "/digest", "hexadecimal"},
		"version":           {strings.Replace(good, "1.0.0", "1.0", 1), 422, wire.ProblemInvalidField, "/version", `found "1.0"`},
		"app with a slash":  {strings.Replace(good, "com.acme.shop", "com.acme/shop", 1), 422, wire.ProblemInvalidField, "/app_id", "found"},
		"app with control":  {strings.Replace(good, "com.acme.shop", `com.acme\u0000.shop`, 1), 422, wire.ProblemInvalidField, "/app_id", "found"},
		"file digest":       {with(`"files":[{"file_name":"a","digest":"00"}]`), 422, wire.ProblemInvalidField, "/files/0/digest", "found 2 characters"},
		"checksum format":   {with(`"checksum_format":"crc32"`), 422, wire.ProblemInvalidField, "/checksum_format", `found "crc32"`},
		"over the limit":    {with(`"labels":{"a":"` + strings.Repeat("x", 70<<10) + `"}`), 413, wire.ProblemBodyTooLarge, "", "65536 bytes"},
		"deeply nested":     {strings.Repeat("[", 20000), 400, wire.ProblemInvalidBody, "", ""},
		"white space bombs": {strings.Repeat(" ", 70<<10) + good, 413, wire.ProblemBodyTooLarge, "", "limits.body_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.post(c.body).problem(c.status, c.typ)
			if p.Field != c.field || !strings.Contains(p.Detail, c.want) {
				t.Errorf("got field %q, %q, want field %q and %q in it", p.Field, p.Detail, c.field, c.want)
			}
		})
	}
	var list wire.SignatureList
	r.get("/v1/signatures").into(&list)
	if len(list.Signatures) != 0 {
		t.Errorf("bad bodies left %d records", len(list.Signatures))
	}
}

func TestMediaType(t *testing.T) {
	r := newRig(t, api.Config{})
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"} {
		r.call("POST", "/v1/signatures", media, "{}").problem(415, wire.ProblemMediaType)
	}
}
