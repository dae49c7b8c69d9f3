package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/policy"
)

// An operation survives the way into the log, in the form that auditors read; the
// index 0 of what it continues is not lost.
func TestKeyOperationInALeaf(t *testing.T) {
	begun := int64(0)
	l := &Leaf{
		Type: LeafKey, Time: time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC), Requester: &policy.Identity{User: "root"},
		Key: "acme-shop", KeyFingerprint: "SHA256:00", Reason: "why",
		Operation: &KeyOperation{Action: KeyCreate, Phase: OperationDone, URI: "pkcs11:object=a", Begun: &begun},
	}
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"v":1,"type":"key","time":"2026-11-22T19:00:00Z","requester":{"uid":0,"gid":0,"user":"root"},"key":"acme-shop","key_fingerprint":"SHA256:00",` +
		`"operation":{"action":"create","phase":"done","uri":"pkcs11:object=a","begun":0},"reason":"why"}`
	if string(b) != want {
		t.Errorf("the entry is\n%s, want\n%s", b, want)
	}
	got, err := DecodeLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.Operation, got.Operation); diff != "" {
		t.Error(diff)
	}
	for _, a := range []KeyAction{KeyCreate, KeyImport, KeyCheck, KeyAttest, KeyDisable, KeyEnable} {
		if !a.Known() {
			t.Errorf("%q is not known", a)
		}
	}
	if KeyAction("sign").Known() || KeyAction("").Known() || KeyPhase("").Known() || !OperationFailed.Known() {
		t.Error("known is not what it should be")
	}
}
