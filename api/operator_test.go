package api

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/signer"
)

// Only root and the daemon's own user are operators, by the number that the kernel
// gave.
func TestWhoIsAnOperator(t *testing.T) {
	s := New(nil, Config{RequestsPerSecond: 1, Burst: 1}, zap.NewNop())
	self := uint32(os.Geteuid())
	for _, c := range []struct {
		peer *peer
		ok   bool
	}{
		{&peer{uid: 0, gid: 0}, true},
		{&peer{uid: self, gid: 0}, true},
		{&peer{uid: self + 1, gid: 0}, false},
		{&peer{uid: self + 1, gid: 0, gids: []uint32{0}}, false},
		{&peer{uid: ^uint32(0), gid: 0}, false},
		{nil, false},
	} {
		r := httptest.NewRequest("POST", "/v1/keys/x/disable", nil)
		if c.peer != nil {
			r = r.WithContext(context.WithValue(r.Context(), peerKey{}, c.peer))
		}
		_, err := s.operator(r)
		var refused *signer.Error
		switch {
		case c.ok && err != nil:
			t.Errorf("%+v: %v", c.peer, err)
		case !c.ok && c.peer != nil && (!errors.As(err, &refused) || refused.Kind != signer.KindForbidden):
			t.Errorf("%+v: %v, want it forbidden", c.peer, err)
		case !c.ok && err == nil:
			t.Errorf("%+v is an operator", c.peer)
		}
	}
}

// Many users have the number for those without one; it makes none an operator.
func TestTheOverflowUIDIsNoOperator(t *testing.T) {
	if operates(overflowUID, overflowUID) {
		t.Error("whoever has no number in the daemon's user namespace is an operator of one that runs as nobody")
	}
	if !operates(990, 990) || !operates(0, 990) || operates(991, 990) {
		t.Error("want root and the daemon's own user, and nobody else")
	}
}

// Who is no operator cannot lift a freeze without a signature.
func TestThawOfAStrangerNeedsASignature(t *testing.T) {
	s := New(nil, Config{RequestsPerSecond: 100, Burst: 100, BodyBytes: 1000}, zap.NewNop())
	stranger := &peer{uid: uint32(os.Geteuid()) + 1, gid: 1}
	for _, body := range []string{`{}`, `{"sshsig":""}`} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/v1/freezes/x/lifts", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		s.routes().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, stranger)))
		if w.Code != 422 || !strings.Contains(w.Body.String(), `"field":"/sshsig"`) {
			t.Errorf("%s: status %d, want that the signature is missing: %s", body, w.Code, w.Body)
		}
	}
}

// Each of the operators' paths asks who it is before it reads a body.
func TestOperatorsPathsAreGuarded(t *testing.T) {
	s := New(nil, Config{RequestsPerSecond: 100, Burst: 100, BodyBytes: 1000}, zap.NewNop())
	stranger := &peer{uid: uint32(os.Geteuid()) + 1, gid: 1}
	for _, path := range []string{"/v1/keys/x/disable", "/v1/keys/x/enable", "/v1/keys/x/check", "/v1/log/operations"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", path, nil)
		s.routes().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, stranger)))
		if w.Code != 403 {
			t.Errorf("%s: status %d, want 403: %s", path, w.Code, w.Body)
		}
	}
}
