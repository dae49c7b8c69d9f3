package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit/audittest"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
	"github.com/bundlesign/bundlesign/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

// rig is a daemon's core with a real store and a software key, served on a real
// socket. Every answer that passes through call is held against the OpenAPI
// document.
type rig struct {
	t        *testing.T
	socket   string
	public   *capgo.PublicKey
	next     *capgo.PublicKey // of the key acme-shop-new
	verifier note.Verifier
	client   *http.Client
	router   routers.Router
	me       *user.User
	core     *signer.Signer
	store    *store.Store
	config   signer.Config
	api      api.Config
	stop     func() // ends the server and the core
	// The people: alice and bob may approve, and so may whoever runs the test, who
	// is the requester.
	alice, bob, self *policytest.Person
}

func newRig(t *testing.T, config api.Config) *rig {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, socket: filepath.Join(dir, "s")}
	var err error
	if r.me, err = user.Current(); err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "key.pem")
	if r.public, err = file.Create(keyFile); err != nil {
		t.Fatal(err)
	}
	nextFile := filepath.Join(dir, "next.pem")
	if r.next, err = file.Create(nextFile); err != nil {
		t.Fatal(err)
	}
	logKey := audittest.NewLogKey(t, "example.com/api-test")
	r.verifier = logKey.Verifier
	r.store, err = store.Open(t.Context(), store.Options{Dir: dir, LogSigner: logKey.Signer, LogVerifier: r.verifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	r.alice, r.bob = policytest.NewPerson(t, "alice", policytest.Ed25519), policytest.NewPerson(t, "bob", policytest.SKEd25519)
	r.self = policytest.NewPerson(t, "self", policytest.ECDSA256)
	rules, err := policy.Compile(policy.Document{
		Rules: []policy.Rule{
			{Name: "closed", Channels: []policy.Glob{"closed"}, Effect: policy.Deny, Message: "not today"},
			{
				Name: "emergency", BreakGlass: true, Effect: policy.Approve, Expires: time.Hour,
				Approvals: []policy.Requirement{{From: []string{"release"}, Threshold: 1}},
			},
			{
				Name: "two", Channels: []policy.Glob{"approved"}, Effect: policy.Approve, Expires: time.Hour,
				Approvals: []policy.Requirement{{From: []string{"release"}, Threshold: 2}},
			},
			{Name: "me", Users: []policy.Glob{policy.Glob(r.me.Username)}, Effect: policy.Allow},
		},
		AllowedSigners: policytest.AllowedSigners(r.alice, r.bob, r.self),
		Groups:         map[string][]string{"release": {"alice", "bob", "self"}},
		Accounts:       map[string]policy.Accounts{"self": {Users: []string{r.me.Username}}},
		Freezes:        policy.Freezes{Lift: []policy.Requirement{{From: []string{"release"}, Threshold: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.config = signer.Config{
		Policy: rules, MaxFiles: 50, SigningTimeout: time.Minute, Version: "test",
		Keys: []signer.KeyConfig{{
			Name: "acme-shop", Apps: []string{"com.acme.shop", "com.acme.bank"}, Pin: r.public,
			Demand: signer.Software, Concurrency: 2, Queue: 100,
			Replicas: []signer.Replica{{URI: "file:key.pem", Key: file.Open(keyFile)}},
		}, {
			Name: "acme-shop-new", Apps: []string{"com.acme.shop"}, OnlyOnRequest: true, Pin: r.next,
			Demand: signer.Software, Concurrency: 2, Queue: 100,
			Replicas: []signer.Replica{{URI: "file:next.pem", Key: file.Open(nextFile)}},
		}},
	}
	if config.BodyBytes == 0 {
		config = api.Config{BodyBytes: 64 << 10, RequestsPerSecond: 1e6, Burst: 1e6, Connections: 100}
	}
	config.LogKey = logKey.Public
	config.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, "fake_metric 1\n")
	})
	r.api = config
	r.router = openAPI(t)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts a core on the store, and serves it.
func (r *rig) start() {
	r.t.Helper()
	log := zaptest.NewLogger(r.t)
	var err error
	if r.core, err = signer.New(r.config, r.store, realClock{}, log); err != nil {
		r.t.Fatal(err)
	}
	if err := r.core.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	l, err := api.Listen(r.socket, 0o600, "")
	if err != nil {
		r.t.Fatal(err)
	}
	server := api.New(r.core, r.api, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	r.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.socket)
		},
	}}
	r.stop = func() {
		r.client.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			r.t.Error(err)
		}
		if err := <-served; err != nil {
			r.t.Error(err)
		}
		_ = r.core.Close(context.Background())
	}
}

func openAPI(t *testing.T) routers.Router {
	t.Helper()
	doc := loadOpenAPI(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	data, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// gorillamux matches a parameter with slashes in it only by a pattern.
	data = bytes.ReplaceAll(data, []byte("/v1/log/tile/{level}/{tile}:"), []byte("/v1/log/tile/{level}/{tile:.*}:"))
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// answer is a response with its body.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// call makes a request and holds the answer against the OpenAPI document.
func (r *rig) call(method, path, contentType, body string, header ...string) *answer {
	r.t.Helper()
	a, err := r.try(method, path, contentType, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) try(method, path, contentType, body string, header ...string) (*answer, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	// The transport may still be sending what was answered early: it keeps its own.
	asked := req.Clone(r.t.Context())
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	route, params, err := r.router.FindRoute(asked)
	if err != nil && resp.StatusCode < 300 {
		r.t.Errorf("%s %s is answered and not in docs/openapi.yaml: %v", method, path, err)
	}
	if err == nil {
		in := &openapi3filter.RequestValidationInput{
			Request: asked, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		}
		asked.Body = io.NopCloser(strings.NewReader(body))
		if err := openapi3filter.ValidateRequest(r.t.Context(), in); err != nil && resp.StatusCode < 300 {
			r.t.Errorf("%s %s %s is accepted, but not by docs/openapi.yaml: %v", method, path, body, err)
		}
		err = openapi3filter.ValidateResponse(r.t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header,
			Body: io.NopCloser(bytes.NewReader(data)), Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			r.t.Errorf("%s %s: the answer is not what docs/openapi.yaml says: %v\n%s", method, path, err, data)
		}
	}
	return &answer{r.t, resp.StatusCode, resp.Header, data}, nil
}

func (r *rig) get(path string) *answer { r.t.Helper(); return r.call("GET", path, "", "") }

func (r *rig) post(body string, header ...string) *answer {
	r.t.Helper()
	return r.call("POST", "/v1/signatures", "application/json", body, header...)
}

// submit posts a submission as a program would write it.
func (r *rig) submit(change func(*wire.Submit)) *answer {
	r.t.Helper()
	s := wire.Submit{AppID: "com.acme.shop", Channel: "production", Version: "1.0.0", Digest: digest}
	if change != nil {
		change(&s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.post(string(b))
}

func (a *answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
}

func (a *answer) signature(status int) *wire.Signature {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	var s wire.Signature
	a.into(&s)
	return &s
}

// problem checks that the answer is a problem of this type and status, and
// returns it.
func (a *answer) problem(status int, typ string) *wire.Problem {
	a.t.Helper()
	var p wire.Problem
	if a.header.Get("Content-Type") != wire.MediaTypeProblem {
		a.t.Fatalf("status %d, media type %q: %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	a.into(&p)
	if a.status != status || p.Status != status || p.Type != typ {
		a.t.Fatalf("got %d %s, want %d %s: %s", a.status, p.Type, status, typ, a.body)
	}
	return &p
}
