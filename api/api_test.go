package api_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

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
		// Posted again, as a retry does, it is the same answer to the byte, files
		// and all.
		retry := r.submit(func(s *wire.Submit) {
			s.ChecksumFormat, s.Labels = format, map[string]string{"format": format}
			s.Files = []wire.SubmitFile{{FileName: "index.html", Digest: strings.Repeat("ab", 32)}}
		})
		if string(retry.body) != string(a.body) {
			t.Errorf("a retry gave another answer:\n%s\n%s", a.body, retry.body)
		}
		again := r.get("/v1/signatures/" + got.ID)
		if string(again.body) != string(a.body) {
			t.Errorf("asking again gave another answer:\n%s\n%s", a.body, again.body)
		}
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
	// Both keys are well: they have signed.
	r.submit(func(s *wire.Submit) { s.Also = []wire.AlsoKey{{Key: "acme-shop-new"}} }).signature(201)
	var keys wire.KeyList
	r.get("/v1/keys").into(&keys)
	if len(keys.Keys) != 2 || keys.Keys[1].PublicKey != r.next.PEM() || keys.Keys[0].State != "ok" || keys.Keys[0].PublicKey != r.public.PEM() || keys.Keys[0].Custody.Level != "software" {
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
