package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

func TestIdentify(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s"), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p, err := askKernel(server)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newNames().identity(p)
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if int(got.UID) != os.Getuid() || int(got.GID) != os.Getgid() || got.User != me.Username || int(p.pid) != os.Getpid() {
		t.Errorf("got %+v, want this process", got)
	}
	gids, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, gid := range append(gids, os.Getgid()) {
		g, err := user.LookupGroupId(strconv.Itoa(gid))
		if err != nil {
			continue // a number without a name matches no rule
		}
		if !slices.Contains(got.Groups, g.Name) {
			t.Errorf("groups %v lack %s", got.Groups, g.Name)
		}
	}
}

func TestNoIdentityWithoutAUnixSocket(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if p, err := askKernel(a); err == nil {
		t.Errorf("identified a pipe as %+v", p)
	}
}

func TestUIDWithoutANameHasNone(t *testing.T) {
	const id = 4_000_000_001 // nobody's
	n := newNames()
	for range 2 { // asked, and remembered
		got, err := n.identity(&peer{uid: id, gid: id, gids: []uint32{id, id + 1}})
		if err != nil || got.User != "" || len(got.Groups) != 0 {
			t.Errorf("uid and gid %d are %+v, %v", id, got, err)
		}
	}
}

// A directory that does not answer is not the same as an id without a name: what
// a rule denies by name must not slip through while names cannot be told.
func TestDirectoryThatFailsIsAnError(t *testing.T) {
	n := newNames()
	boom := errors.New("sssd is down")
	asked := 0
	look := func(string) (string, error) { asked++; return "", boom }
	for range 2 {
		if _, err := n.cached(n.users, 7, look); !errors.Is(err, boom) {
			t.Errorf("got %v, want the directory's error", err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want that a failure is not remembered", asked)
	}
}

func TestPeerWithTooManyGroupsIsRefused(t *testing.T) {
	p := &peer{gids: make([]uint32, maxGroups+1)}
	if _, err := newNames().identity(p); err == nil {
		t.Error("a peer with more groups than are looked up was named")
	}
}

// oneRequest is a core that has one signed request of uid 1000. What the API
// shows to whom cannot be tested with real peers: a test has one uid only.
type oneRequest struct{ Core }

func (oneRequest) Request(context.Context, string) (*signer.Request, error) {
	return &signer.Request{
		ID: "r", State: signer.Signed, Requester: policy.Identity{UID: 1000}, Result: &signer.Result{Also: []signer.KeyResult{{}}},
		Submission: signer.Submission{Also: []signer.AlsoKey{{Format: "hex"}}}, Also: []signer.KeyRef{{}},
		SubmittedAt: time.Unix(0, 0), UpdatedAt: time.Unix(0, 0),
	}, nil
}

func (oneRequest) Receipt(context.Context, *signer.Request) (*audit.Receipt, error) {
	return &audit.Receipt{}, nil
}

func TestSessionKeyIsForTheRequesterAndRoot(t *testing.T) {
	s := New(oneRequest{}, Config{RequestsPerSecond: 1e6, Burst: 1e6}, zap.NewNop())
	for uid, want := range map[uint32]bool{0: true, 1000: true, 1001: false} {
		req := httptest.NewRequest("GET", "/v1/signatures/r", nil)
		req = req.WithContext(context.WithValue(req.Context(), peerKey{}, &peer{uid: uid}))
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		var got wire.Signature
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if (got.SessionKey != "") != want || got.Checksum == "" {
			t.Errorf("uid %d: session key %q, checksum %q, want the session key: %t", uid, got.SessionKey, got.Checksum, want)
		}
		if len(got.Also) != 1 || (got.Also[0].SessionKey != "") != want || got.Also[0].Checksum == "" {
			t.Errorf("uid %d: of the further key %+v, want the session key: %t", uid, got.Also, want)
		}
	}
}

func TestConnectionWithoutAPeerGetsNothing(t *testing.T) {
	s := New(oneRequest{}, Config{RequestsPerSecond: 1e6, Burst: 1e6}, zap.NewNop())
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/v1/signatures/r", nil))
	var p wire.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 403 || p.Type != wire.ProblemForbidden {
		t.Errorf("got %d %s, %v, want a refusal", w.Code, w.Body, err)
	}
}
