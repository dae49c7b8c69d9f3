package api_test

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
)

func TestSubmitIsSignedAndProved(t *testing.T) {
	r := newRig(t, api.Config{})
	for _, format := range []string{"", "hex", "legacy"} {
		a := r.submit(func(s *wire.Submit) {
			s.ChecksumFormat, s.Labels = format, map[string]string{"format": format}
			s.Files = []wire.SubmitFile{{FileName: "index.html", Digest: strings.Repeat("ab", 32)}}
		})
		got := a.signature(http.StatusCreated)
		if a.header.Get("Location") != "/v1/signatures/"+got.ID {
			t.Errorf("Location is %q", a.header.Get("Location"))
		}
		if got.State != "signed" || got.Rule != "me" || got.Key != "acme-shop" || got.PublicKey != r.public.PEM() || got.KeyID != r.public.KeyID() {
			t.Errorf("got %+v", got)
		}
		for text, d := range map[string]string{got.Checksum: digest, got.Files[0].FileHash: strings.Repeat("ab", 32)} {
			sig, f, err := capgo.ParseChecksum(text)
			if err != nil {
				t.Fatal(err)
			}
			if want := capgo.ChecksumFormat(strings.Replace(format+"hex", "hexhex", "hex", 1)); format != "legacy" && f != want {
				t.Errorf("form %s, want %s", f, want)
			}
			parsed, _ := capgo.ParseDigest(d)
			p, err := capgo.ChecksumPayload(parsed, f)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.public.Verify(p, sig); err != nil {
				t.Error(err)
			}
		}
		w, err := capgo.ParseWrappedKey(got.SessionKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.public.Unwrap(w); err != nil {
			t.Error(err)
		}
		if got.Custody == nil || got.Custody.Level != "software" || got.Custody.Backend != "file" {
			t.Errorf("custody %+v, want software in a file", got.Custody)
		}
		rec := &audit.Receipt{Index: got.Log.Index, Entry: []byte(got.Log.Entry), Checkpoint: []byte(got.Log.Checkpoint), Proof: hashes(t, got.Log.Proof)}
		if err := rec.Verify(r.verifier); err != nil {
			t.Error(err)
		}
		again := r.get("/v1/signatures/" + got.ID)
		if string(again.body) != string(a.body) {
			t.Errorf("asking again gave another answer:\n%s\n%s", a.body, again.body)
		}
	}
}

func hashes(t *testing.T, in []string) []tlog.Hash {
	t.Helper()
	out := make([]tlog.Hash, len(in))
	for i, s := range in {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != tlog.HashSize {
			t.Fatalf("hash %q: %v", s, err)
		}
		out[i] = tlog.Hash(b)
	}
	return out
}

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

func TestDeniedSaysWhy(t *testing.T) {
	r := newRig(t, api.Config{})
	p := r.submit(func(s *wire.Submit) { s.Channel = "closed" }).problem(403, wire.ProblemDenied)
	if p.Rule != "closed" || !strings.Contains(p.Detail, "not today") || p.RequestID == "" || p.PolicyHash == "" {
		t.Errorf("got %+v, want rule, message, record and policy", p)
	}
	got := r.get("/v1/signatures/" + p.RequestID).signature(200)
	if got.State != "denied" || got.Log == nil || got.Checksum != "" {
		t.Errorf("the record is %+v", got)
	}
	r.submit(func(s *wire.Submit) { s.AppID = "com.acme.other" }).problem(422, wire.ProblemNoKey)
}

func TestIdempotencyKeyHeader(t *testing.T) {
	r := newRig(t, api.Config{})
	body := `{"app_id":"com.acme.shop","channel":"%s","version":"1.0.0","digest":"` + digest + `"}`
	first := r.post(fmt.Sprintf(body, "a"), "Idempotency-Key", "job-1").signature(201)
	if again := r.post(fmt.Sprintf(body, "a"), "Idempotency-Key", "job-1").signature(201); again.ID != first.ID {
		t.Errorf("got %s, want %s", again.ID, first.ID)
	}
	p := r.post(fmt.Sprintf(body, "b"), "Idempotency-Key", "job-1").problem(422, wire.ProblemKeyReuse)
	if p.RequestID != first.ID {
		t.Errorf("the problem names %q, want %q", p.RequestID, first.ID)
	}
}

func TestPathsAndMethods(t *testing.T) {
	r := newRig(t, api.Config{})
	r.get("/").problem(404, wire.ProblemNotFound)
	r.get("/v2/signatures").problem(404, wire.ProblemNotFound)
	r.get("/v1/signatures/unknown").problem(404, wire.ProblemNotFound)
	r.get("/v1/keys/unknown").problem(404, wire.ProblemNotFound)
	a := r.call("PUT", "/v1/signatures", "application/json", "{}")
	a.problem(405, wire.ProblemMethod)
	if a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
	r.call("GET", "/v1/keys", "application/json", "{}").problem(400, wire.ProblemInvalidBody)
	r.get("//v1/keys").problem(404, wire.ProblemNotFound) // not a redirect
	r.get("/v1/../v1/keys").problem(404, wire.ProblemNotFound)
	r.get("/v1/signatures?state=&a;b").problem(400, wire.ProblemInvalidBody)
	r.get("/v1/log/entries?from=9223372036854775807").problem(422, wire.ProblemInvalidField)
}

func TestQueries(t *testing.T) {
	r := newRig(t, api.Config{})
	for i := range 5 {
		r.submit(func(s *wire.Submit) { s.Version = fmt.Sprintf("1.0.%d", i) }).signature(201)
	}
	r.submit(func(s *wire.Submit) { s.Channel = "closed" }).problem(403, wire.ProblemDenied)
	for path, field := range map[string]string{
		"/v1/signatures?state=odd":           "/state",
		"/v1/signatures?limit=0":             "/limit",
		"/v1/signatures?limit=1001":          "/limit",
		"/v1/signatures?limit=-1":            "/limit",
		"/v1/signatures?limit=1&limit=2":     "/limit",
		"/v1/signatures?stat=signed":         "/stat",
		"/v1/signatures/x?wait=soon":         "/wait",
		"/v1/signatures/x?wait=-1s":          "/wait",
		"/v1/keys?x=1":                       "/x",
		"/v1/status?x=1":                     "/x",
		"/v1/log/checkpoint?x=1":             "/x",
		"/v1/log/entries/-1":                 "/index",
		"/v1/log/entries/x":                  "/index",
		"/v1/log/entries?from=3&to=2":        "/to",
		"/v1/log/entries?to=99999":           "/to",
		"/v1/log/proof":                      "/index",
		"/v1/log/proof?index=1&from=1":       "/index",
		"/v1/log/proof?index=99999":          "/index",
		"/v1/log/proof?from=0&size=0":        "/from",
		"/v1/log/proof?index=0&size=9999999": "/size",
	} {
		if p := r.get(path).problem(422, wire.ProblemInvalidField); p.Field != field {
			t.Errorf("%s: field %q, want %q", path, p.Field, field)
		}
	}
	var page, rest wire.SignatureList
	r.get("/v1/signatures?limit=2&state=signed").into(&page)
	if len(page.Signatures) != 2 || page.Signatures[0].Version != "1.0.4" || page.Next == 0 {
		t.Fatalf("got %+v, want the two newest and a next page", page)
	}
	r.get(fmt.Sprintf("/v1/signatures?limit=10&state=signed&before=%d", page.Next)).into(&rest)
	if len(rest.Signatures) != 3 || rest.Signatures[0].Version != "1.0.2" || rest.Next != 0 {
		t.Errorf("got %+v, want the other three and no next page", rest)
	}
	if rest.Signatures[0].SessionKey != "" {
		t.Error("a list shows session keys")
	}
}

func TestKeysAndStatus(t *testing.T) {
	r := newRig(t, api.Config{})
	r.submit(nil).signature(201)
	var keys wire.KeyList
	r.get("/v1/keys").into(&keys)
	if len(keys.Keys) != 1 || keys.Keys[0].State != "ok" || keys.Keys[0].PublicKey != r.public.PEM() || keys.Keys[0].Custody.Level != "software" {
		t.Errorf("keys are %+v", keys)
	}
	var key wire.Key
	r.get("/v1/keys/acme-shop").into(&key)
	if key.Fingerprint != r.public.Fingerprint() {
		t.Errorf("key is %+v", key)
	}
	var st wire.Status
	r.get("/v1/status").into(&st)
	if st.State != "ok" || st.PID != os.Getpid() || st.LogSize < 3 || !strings.HasPrefix(st.LogKey, "example.com/api-test+") {
		t.Errorf("status is %+v", st)
	}
}

func TestLogEndpointsProveEachOther(t *testing.T) {
	r := newRig(t, api.Config{})
	for i := range 4 {
		r.submit(func(s *wire.Submit) { s.Version = fmt.Sprintf("1.0.%d", i) }).signature(201)
	}
	msg := r.get("/v1/log/checkpoint").body
	tree, err := audit.OpenCheckpoint(msg, r.verifier)
	if err != nil {
		t.Fatal(err)
	}
	if tree.N != 9 {
		t.Fatalf("the log has %d entries, want 9: a start, 4 authorizations, 4 signatures", tree.N)
	}
	var entries wire.LogEntries
	r.get("/v1/log/entries").into(&entries)
	bundle := r.get(fmt.Sprintf("/v1/log/tile/entries/000.p/%d", tree.N)).body
	tile := r.get(fmt.Sprintf("/v1/log/tile/0/000.p/%d", tree.N)).body
	for i := range tree.N {
		var e wire.LogEntry
		r.get(fmt.Sprintf("/v1/log/entries/%d", i)).into(&e)
		rec := audit.Receipt{Index: e.Index, Entry: []byte(e.Entry), Checkpoint: []byte(e.Checkpoint), Proof: hashes(t, e.Proof)}
		if err := rec.Verify(r.verifier); err != nil {
			t.Error(err)
		}
		if entries.Entries[i] != e.Entry {
			t.Errorf("entry %d differs between endpoints", i)
		}
		n := binary.BigEndian.Uint16(bundle)
		if string(bundle[2:2+n]) != e.Entry {
			t.Errorf("entry %d differs in the bundle", i)
		}
		bundle = bundle[2+n:]
		if tlog.Hash(tile[i*32:(i+1)*32]) != tlog.RecordHash([]byte(e.Entry)) {
			t.Errorf("tile hash %d is not the entry's", i)
		}
		var p wire.LogProof
		r.get(fmt.Sprintf("/v1/log/proof?index=%d", i)).into(&p)
		if err := tlog.CheckRecord(hashes(t, p.Proof), tree.N, tree.Hash, i, tlog.RecordHash([]byte(e.Entry))); err != nil {
			t.Error(err)
		}
	}
	if len(bundle) != 0 {
		t.Errorf("%d bytes after the last entry", len(bundle))
	}
	var older wire.LogEntry
	r.get("/v1/log/entries/0").into(&older)
	_, old, err := audit.ReadCheckpoint([]byte(older.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	var p wire.LogProof
	r.get(fmt.Sprintf("/v1/log/proof?from=%d", old.N)).into(&p)
	if err := tlog.CheckTree(hashes(t, p.Proof), tree.N, tree.Hash, old.N, old.Hash); err != nil {
		t.Error(err)
	}
	for _, path := range []string{
		"0/x036/x028/x797/x018/x963/967", "1/x036/x028/x797/x018/x963/967", "7/x036/x028/x797/x018/x963/967", // overflow
		"0/000", "0/001.p/1", "1/000.p/1", "0/000.p/10", "data/000.p/1", "8/0/000.p/1", "-1/000.p/1", "0/x000/000.p/1", "entries/001", "63/000.p/1", "0/..%2f000",
	} {
		r.get("/v1/log/tile/"+path).problem(404, wire.ProblemNotFound)
	}
}

// Every path and method that is served is documented, and the other way round.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	doc := loadOpenAPI(t)
	documented := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		path = strings.Replace(path, "{tile:.*}", "{tile...}", 1)
		for method := range item.Operations() {
			documented[method+" "+path] = true
		}
	}
	served := make(map[string]bool)
	for _, r := range api.Routes() {
		served[r] = true
		if !documented[r] {
			t.Errorf("%s is served and not in docs/openapi.yaml", r)
		}
	}
	for r := range documented {
		if !served[r] {
			t.Errorf("%s is in docs/openapi.yaml and not served", r)
		}
	}
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range api.Routes() {
		if !strings.Contains(string(text), "### "+r+"\n") {
			t.Errorf("%s has no section in docs/api.md", r)
		}
	}
}

// Every problem type is in both documents.
func TestEveryProblemIsDocumented(t *testing.T) {
	spec, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range wire.Problems() {
		if !strings.Contains(string(spec), "- "+p+"\n") {
			t.Errorf("%s is not in docs/openapi.yaml", p)
		}
		if !strings.Contains(string(text), "| `"+strings.TrimPrefix(p, "urn:bundlesign:problem:")+"` |") {
			t.Errorf("%s is not in docs/api.md", p)
		}
	}
}

func TestRateLimit(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 0.001, Burst: 3, Connections: 10})
	for range 3 {
		if a := r.get("/v1/keys"); a.status != 200 {
			t.Fatalf("status %d within the burst", a.status)
		}
	}
	a := r.get("/v1/keys")
	p := a.problem(429, wire.ProblemTooMany)
	if a.header.Get("Retry-After") == "" || p.RetryAfter < 1 {
		t.Error("no Retry-After")
	}
}

func TestConnectionLimit(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 2})
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
		// A served connection: the limit counts from Accept on.
		if _, err := fmt.Fprint(c, "GET /v1/keys HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p wire.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != 429 || p.Type != wire.ProblemTooMany {
		t.Errorf("got %d %+v, %v, want too many", resp.StatusCode, p, err)
	}
	// Giving one back makes room for another.
	held[0].Close()
	for {
		a, err := r.try("GET", "/v1/keys", "", "")
		if err == nil && a.status == 200 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no connection was let in after one was closed")
		}
	}
}

func TestSlowClientIsDropped(t *testing.T) {
	r := newRig(t, api.Config{BodyBytes: 1 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 10, ReadTimeout: 100 * time.Millisecond})
	for name, part := range map[string]string{
		"headers": "POST /v1/signatures HTTP/1.1\r\nHost: x\r\nContent-Ty",
		"body":    "POST /v1/signatures HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"app_id\":",
	} {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
	}
}
