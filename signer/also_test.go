package signer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

var bankTestKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// withNewKey gives the rig's app a second key, which is there under a second name too,
// and another app a key of its own.
func (r *rig) withNewKey() *faultyKey {
	next := &faultyKey{private: otherTestKey(), custody: signer.NeverExtractable}
	bank := &faultyKey{private: bankTestKey(), custody: signer.NonExtractable}
	add := func(name, app string, key *faultyKey) {
		r.config.Keys = append(r.config.Keys, signer.KeyConfig{
			Name: name, Apps: []string{app}, OnlyOnRequest: true, Pin: publicKey(r.t, key.private), Demand: signer.NonExtractable,
			Replicas: []signer.Replica{{URI: "faulty:" + name, Key: key}}, Concurrency: 2, Queue: 8,
		})
	}
	add("acme-new", "com.acme.shop", next)
	add("acme-alias", "com.acme.shop", next)
	add("bank", "com.acme.bank", bank)
	return next
}

// rotating is a submission to be signed with the old key and the new one.
func rotating() signer.Submission {
	sub := submission()
	sub.Format = capgo.FormatLegacy
	sub.Also = []signer.AlsoKey{{Key: "acme-new", Format: capgo.FormatHex}}
	return sub
}

// checkKeyResult verifies everything that one key made.
func checkKeyResult(t *testing.T, pin *capgo.PublicKey, sub *signer.Submission, format capgo.ChecksumFormat, got *signer.KeyResult) {
	t.Helper()
	verify := func(what string, p capgo.Payload, sig capgo.Signature) {
		if err := pin.Verify(p, sig); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	payload := func(d capgo.Digest) capgo.Payload {
		p, err := capgo.ChecksumPayload(d, format)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	verify("checksum", payload(sub.Digest), got.Checksum)
	verify("session key", capgo.SessionKeyPayload(), got.SessionKey.Wrapped)
	if len(got.Files) != len(sub.Files) {
		t.Fatalf("%d files are signed, want %d", len(got.Files), len(sub.Files))
	}
	for i, f := range sub.Files {
		verify(f.Name, payload(f.Digest), got.Files[i])
	}
}

// opened is the session key inside: the last 16 bytes of what the public key makes of
// the signature.
func opened(key *rsa.PrivateKey, w capgo.WrappedKey) string {
	m := new(big.Int).Exp(new(big.Int).SetBytes(w.Wrapped[:]), big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, capgo.SignatureSize))
	return string(m[len(m)-16:])
}

func TestSeveralKeysGiveAResultEach(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.config.MaxFiles = 1200
		r.start()
		sub := rotating()
		for i := range 600 { // more than a key is given at once
			sub.Files = append(sub.Files, signer.File{Name: fmt.Sprintf("f%d.js", i), Digest: capgo.Digest{9, byte(i), byte(i >> 8)}})
		}
		got := r.mustSubmit(sub, alice)
		if got.State != signer.Signed || len(got.Result.Also) != 1 || len(got.Also) != 1 {
			t.Fatalf("%s: %s, with %d further results", got.State, got.Reason, len(got.Result.Also))
		}
		also := &got.Result.Also[0]
		checkKeyResult(t, publicKey(t, testKey()), &sub, capgo.FormatLegacy, &got.Result.KeyResult)
		checkKeyResult(t, publicKey(t, otherTestKey()), &sub, capgo.FormatHex, also)
		if also.Custody.Level != signer.NeverExtractable || got.Result.Custody.Level != signer.NonExtractable {
			t.Errorf("custody %q and %q, want each key's own", got.Result.Custody.Level, also.Custody.Level)
		}
		if opened(testKey(), got.Result.SessionKey) == opened(otherTestKey(), also.SessionKey) || got.Result.SessionKey.IV == also.SessionKey.IV {
			t.Error("both keys wrap the same session key, or have the same IV")
		}
		if r.key.used() != 602 || next.used() != 602 {
			t.Errorf("the keys were used %d and %d times, want 602 each", r.key.used(), next.used())
		}
		// One entry for each move, which names both.
		for _, typ := range []audit.LeafType{audit.LeafAuthorized, audit.LeafSigned} {
			leaves := r.leaves(typ)
			if len(leaves) != 1 || len(leaves[0].Also) != 1 {
				t.Fatalf("%s: %+v, want one entry with two keys", typ, leaves)
			}
			l := leaves[0].Also[0]
			if l.Key != "acme-new" || l.KeyFingerprint != publicKey(t, otherTestKey()).Fingerprint() || l.Format != "hex" || leaves[0].Format != "legacy" {
				t.Errorf("%s: the entry says %+v", typ, l)
			}
			if hashed := l.ChecksumSHA256 != "" && l.SessionKeySHA256 != "" && l.FilesSHA256 != "" && l.Custody != nil; hashed != (typ == audit.LeafSigned) {
				t.Errorf("%s: the entry says %+v of the result", typ, l)
			}
			if l.ChecksumSHA256 != "" && l.ChecksumSHA256 == leaves[0].ChecksumSHA256 {
				t.Error("the entry has one hash for both checksums")
			}
		}
		// The same again, also after a restart, and with what was left out filled in.
		again := sub
		again.Also = []signer.AlsoKey{{Key: "acme-new", Format: capgo.FormatHex}}
		for range 2 {
			repeated := r.mustSubmit(again, alice)
			if diff := cmp.Diff(got.Result, repeated.Result); diff != "" || repeated.ID != got.ID {
				t.Errorf("a retry is answered differently: %s", diff)
			}
			r.stop()
			r.start()
		}
		if r.key.used() != 602 || next.used() != 602 {
			t.Error("a retry used a key")
		}
		// Another choice of keys is another request.
		alone := sub
		alone.Also = nil
		if other := r.mustSubmit(alone, alice); other.ID == got.ID || other.Result.Also != nil {
			t.Errorf("a request for one key is answered with %+v", other)
		}
	})
}

func TestFormOfAFurtherKeyIsThatOfTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withNewKey()
		r.start()
		sub := rotating()
		sub.Also[0].Format = ""
		got := r.mustSubmit(sub, alice)
		checkKeyResult(t, publicKey(t, otherTestKey()), &sub, capgo.FormatLegacy, &got.Result.Also[0])
		if sub.Also[0].Format != "" {
			t.Error("the caller's submission was changed")
		}
		sub.Also[0].Format = capgo.FormatLegacy
		if same := r.mustSubmit(sub, alice); same.ID != got.ID {
			t.Error("the same in other words is another request")
		}
	})
}

// What nobody gets a result for, whatever the policy says.
func TestFurtherKeysThatAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.config.Policy = rules(t, policy.Rule{Name: "all", Users: []policy.Glob{"*"}, Effect: policy.Allow})
		r.start()
		for name, c := range map[string]struct {
			key  string
			also []string
			kind signer.Kind
			want string
		}{
			"twice":                   {"", []string{"acme-new", "acme-new"}, signer.KindInvalid, "which is /also/0/key already"},
			"the first by name":       {"acme", []string{"acme"}, signer.KindInvalid, "which is /key already"},
			"the first by default":    {"", []string{"acme"}, signer.KindInvalid, `the same key as "acme"`},
			"another name of it":      {"", []string{"acme-new", "acme-alias"}, signer.KindInvalid, `found "acme-alias", which is the same key as "acme-new"`},
			"another name, as first":  {"acme-alias", []string{"acme-new"}, signer.KindInvalid, "the same key"},
			"of another app":          {"", []string{"bank"}, signer.KindNoKey, `key "bank" does not sign for app "com.acme.shop"`},
			"one good, one of others": {"", []string{"acme-new", "bank"}, signer.KindNoKey, `key "bank" does not sign`},
			"of nobody":               {"", []string{"nobody"}, signer.KindNoKey, "there is no such key"},
			"without a name":          {"", []string{""}, signer.KindInvalid, "also/0/key"},
			"too many":                {"", []string{"acme-new", "a", "b", "c"}, signer.KindInvalid, "found 4 further keys, want at most 3"},
			"a long name":             {"", []string{strings.Repeat("a", 64)}, signer.KindInvalid, "at most 63"},
			"a long first name":       {strings.Repeat("a", 64), nil, signer.KindInvalid, "at most 63"},
			"a line break":            {"", []string{"acme-new\nkey: x"}, signer.KindInvalid, "cannot be printed"},
		} {
			sub := submission()
			sub.Key = c.key
			for _, k := range c.also {
				sub.Also = append(sub.Also, signer.AlsoKey{Key: k})
			}
			_, err := r.submit(sub, alice, "")
			if err == nil {
				t.Errorf("%s: it was signed", name)
				continue
			}
			if e := wantKind(t, err, c.kind); !strings.Contains(e.Detail, c.want) {
				t.Errorf("%s: found %q, want %q in it", name, e.Detail, c.want)
			}
		}
		many := rotating()
		for i := range 51 { // 100 are allowed
			many.Files = append(many.Files, signer.File{Name: fmt.Sprint(i), Digest: capgo.Digest{1}})
		}
		if _, err := r.submit(many, alice, ""); wantKind(t, err, signer.KindInvalid).Field != "/files" {
			t.Errorf("found %v, want too many files", err)
		}
		sub := rotating()
		sub.Also[0].Format = "crc32"
		_, err := r.submit(sub, alice, "")
		if e := wantKind(t, err, signer.KindInvalid); e.Field != "/also/0/checksum_format" {
			t.Errorf("found field %q", e.Field)
		}
		if len(r.requests()) != 0 || r.key.used()+next.used() != 0 {
			t.Error("something was recorded or signed")
		}
	})
}

func TestEveryKeyIsJudged(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		ofKey := func(name, key string, effect policy.Effect) policy.Rule {
			return policy.Rule{Name: name, Users: []policy.Glob{"*"}, When: fmt.Sprintf("request.key == %q", key), Effect: effect}
		}
		both := policy.Rule{Name: "both", Users: []policy.Glob{"*"}, When: `request.key in ["acme", "acme-new"]`, Effect: policy.Allow}
		old, all := ofKey("old", "acme", policy.Allow), policy.Rule{Name: "all", Users: []policy.Glob{"*"}, Effect: policy.Allow}
		for i, c := range []struct {
			rules []policy.Rule
			want  string // why it is denied, or ""
		}{
			{[]policy.Rule{both}, ""},
			{[]policy.Rule{ofKey("no", "acme-new", policy.Deny), all}, `for key "acme-new": rule "no" denies it`},
			{[]policy.Rule{ofKey("no", "acme", policy.Deny), all}, `for key "acme": rule "no" denies it`},
			{[]policy.Rule{old}, `for key "acme-new": no rule matches`},
			{[]policy.Rule{ofKey("new", "acme-new", policy.Allow)}, `for key "acme": no rule matches`},
			{[]policy.Rule{old, all}, `rule "old" decides about key "acme", and rule "all" about key "acme-new": have each signed in a request of its own`},
		} {
			if err := r.again(rules(t, c.rules...)); err != nil {
				t.Fatal(err)
			}
			uses := r.key.used() + next.used()
			sub := rotating()
			sub.Version = fmt.Sprintf("1.0.%d", i)
			got, err := r.submit(sub, alice, "")
			if c.want == "" {
				if err != nil || got.State != signer.Signed || r.leaves(audit.LeafAuthorized)[0].Decision.Rule != "both" {
					t.Errorf("one rule for both: %+v, %v", got, err)
				}
				continue
			}
			if e := wantKind(t, err, signer.KindDenied); !strings.Contains(e.Detail, c.want) {
				t.Errorf("found %q, want %q in it", e.Detail, c.want)
			}
			if r.key.used()+next.used() != uses {
				t.Errorf("%s: a key was used", c.want)
			}
			denied := r.leaves(audit.LeafDenied)
			if l := denied[len(denied)-1]; len(l.Also) != 1 || l.Also[0].Key != "acme-new" {
				t.Errorf("the log does not say which keys were asked for: %+v", l)
			}
		}
	})
}

// again puts a policy in force, after a start if there was none.
func (r *rig) again(p *policy.Policy) error {
	if r.core == nil {
		r.config.Policy = p
		r.start()
		return nil
	}
	return r.core.SetPolicy(r.t.Context(), p)
}

// Limits and history count a request once, with however many keys.
func TestSeveralKeysAreOneRequest(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		r.withNewKey()
		d := o.document()
		d.Rules[0].Limits = &policy.Limits{IncreasingVersions: true, Rates: []policy.Rate{{Most: 2, Within: time.Hour, Per: policy.PerApp}}}
		r.config.Policy = compile(t, d)
		r.start()
		for i := range 3 {
			sub := rotating()
			sub.Channel, sub.Version = "staging", fmt.Sprintf("1.0.%d", i)
			_, err := r.submit(sub, ci, "")
			if (err == nil) != (i < 2) {
				t.Errorf("request %d: %v, want the third to be one too many", i+1, err)
			}
		}
	})
}

// What is wrong with the second key before a request is admitted.
func TestFurtherKeyThatMustNotOrCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, r *rig, next *faultyKey)
		kind   signer.Kind
		want   string
	}{
		"disabled": {func(t *testing.T, r *rig, _ *faultyKey) {
			if err := r.core.DisableKey(t.Context(), "acme-new", "stolen", daveUser); err != nil {
				t.Fatal(err)
			}
		}, signer.KindKeyUnusable, "is disabled: stolen"},
		"frozen": {func(t *testing.T, r *rig, _ *faultyKey) {
			if _, err := r.core.Freeze(t.Context(), signer.Freeze{Key: "acme-new", Reason: "lost"}, daveUser, true); err != nil {
				t.Fatal(err)
			}
		}, signer.KindDenied, "signing is frozen"},
		"frozen under another name": {func(t *testing.T, r *rig, _ *faultyKey) {
			if _, err := r.core.Freeze(t.Context(), signer.Freeze{Key: "acme-alias", Reason: "lost"}, daveUser, true); err != nil {
				t.Fatal(err)
			}
		}, signer.KindDenied, "signing is frozen"},
		"unavailable": {func(_ *testing.T, _ *rig, next *faultyKey) {
			next.with(func(k *faultyKey) { k.fault = away })
			time.Sleep(2 * time.Minute) // until it is noticed
		}, signer.KindKeyUnavailable, `key "acme-new" cannot be reached`},
		"less than was demanded": {func(_ *testing.T, _ *rig, next *faultyKey) {
			next.with(func(k *faultyKey) { k.custody = signer.Software })
			time.Sleep(2 * time.Minute)
		}, signer.KindKeyUnusable, `proved custody "software"`},
		"quarantined": {func(_ *testing.T, _ *rig, next *faultyKey) {
			next.with(func(k *faultyKey) { k.spoilCheck = true })
			time.Sleep(2 * time.Minute)
		}, signer.KindKeyUnusable, "wrong signature"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				next := r.withNewKey()
				r.start()
				synctest.Wait()
				c.change(t, r, next)
				uses := r.key.used()
				_, err := r.submit(rotating(), alice, "")
				if e := wantKind(t, err, c.kind); !strings.Contains(e.Detail, c.want) {
					t.Errorf("found %q, want %q in it", e.Detail, c.want)
				}
				if r.key.used() != uses || next.used() != 0 || len(r.leaves(audit.LeafAuthorized)) != 0 {
					t.Error("something was authorized or signed")
				}
				if st, _ := r.core.Key("acme"); st.Waiting != 0 {
					t.Errorf("%d requests wait for the first key", st.Waiting)
				}
				alone := submission()
				if got := r.mustSubmit(alone, alice); got.State != signer.Signed {
					t.Errorf("with the first key alone: %s", got.State)
				}
			})
		})
	}
}

// inFlight submits with a second key that does not answer, and waits until the first
// has done its part.
func (r *rig) inFlight(next *faultyKey) (id string, answer func()) {
	r.t.Helper()
	gate := make(chan struct{})
	next.with(func(k *faultyKey) { k.block = gate })
	req, err := r.core.Submit(r.t.Context(), rotating(), alice, "")
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	if done, of := r.core.Progress(req.ID); done != 2 || of != 4 {
		r.t.Fatalf("%d of %d are signed, want the first key's 2 of 4", done, of)
	}
	return req.ID, func() { close(gate) }
}

func (r *rig) wantFailed(id, want string) {
	r.t.Helper()
	got := r.end(id)
	if got.State != signer.Failed || got.Result != nil || !strings.Contains(got.Reason, want) {
		r.t.Errorf("%s: %s, want it failed without any result: %s", got.State, got.Reason, want)
	}
	if n := len(r.leaves(audit.LeafSigned)); n != 0 {
		r.t.Errorf("the log has %d signatures", n)
	}
	synctest.Wait() // until it has left the queues
	for _, name := range []string{"acme", "acme-new"} {
		if st, _ := r.core.Key(name); st.Waiting != 0 {
			r.t.Errorf("%d requests wait for key %s", st.Waiting, name)
		}
	}
}

// Whatever stops one of the keys while the other has done its part stops both.
func TestNoResultWithoutEveryKey(t *testing.T) {
	for name, c := range map[string]struct {
		stop func(t *testing.T, r *rig)
		want string
	}{
		"the one at work is disabled": {func(t *testing.T, r *rig) {
			if err := r.core.DisableKey(t.Context(), "acme-new", "stolen", daveUser); err != nil {
				t.Fatal(err)
			}
		}, `key "acme-new" is disabled: stolen`},
		"the one that is done is disabled": {func(t *testing.T, r *rig) {
			if err := r.core.DisableKey(t.Context(), "acme", "stolen", daveUser); err != nil {
				t.Fatal(err)
			}
		}, `key "acme" is disabled: stolen`},
		"the one that is done is disabled for a moment": {func(t *testing.T, r *rig) {
			if err := r.core.DisableKey(t.Context(), "acme", "stolen", daveUser); err != nil {
				t.Fatal(err)
			}
			if err := r.core.EnableKey(t.Context(), "acme", "found", daveUser); err != nil {
				t.Fatal(err)
			}
		}, `key "acme"`},
		"the one that is done makes a wrong signature elsewhere": {func(_ *testing.T, r *rig) {
			r.key.with(func(k *faultyKey) { k.spoilCheck = true })
			_, _ = r.core.CheckKey(r.t.Context(), "acme", daveUser)
		}, `key "acme" is quarantined`},
		"the one at work does not answer": {func(*testing.T, *rig) {
			time.Sleep(2 * time.Minute)
		}, `key "acme-new" could not be used for 1m0s`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				next := r.withNewKey()
				r.start()
				synctest.Wait()
				id, answer := r.inFlight(next)
				defer answer()
				c.stop(t, r)
				r.wantFailed(id, c.want)
			})
		})
	}
	// A freeze of either key comes before the result, however late.
	for _, key := range []string{"acme", "acme-new"} {
		bubble(t, func(t *testing.T, r *rig) {
			next := r.withNewKey()
			r.start()
			synctest.Wait()
			id, answer := r.inFlight(next)
			if _, err := r.core.Freeze(t.Context(), signer.Freeze{Key: key, Reason: "lost"}, daveUser, true); err != nil {
				t.Fatal(err)
			}
			answer()
			r.wantFailed(id, "signing was frozen before it was signed")
		})
	}
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		id, answer := r.inFlight(next)
		if got, err := r.core.Cancel(t.Context(), id, alice); err != nil || got.State != signer.Cancelled {
			t.Fatalf("%+v, %v", got, err)
		}
		answer()
		synctest.Wait()
		if got := r.state(id); got.State != signer.Cancelled || got.Result != nil {
			t.Errorf("%s, with the result %+v", got.State, got.Result)
		}
	})
}

// A key that is away is waited for, and what the other made meanwhile is kept.
func TestFurtherKeyThatComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		next.with(func(k *faultyKey) { k.faultInUse = away })
		req, err := r.core.Submit(t.Context(), rotating(), alice, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		next.with(func(k *faultyKey) { k.faultInUse = nil })
		if got := r.end(req.ID); got.State != signer.Signed || r.key.used() != 2 || next.used() != 2 {
			t.Errorf("%s: %s; the keys were used %d and %d times, want 2 each", got.State, got.Reason, r.key.used(), next.used())
		}
	})
}

func TestWrongSignatureOfAFurtherKeyQuarantinesThatKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		next.with(func(k *faultyKey) { k.spoil = func(s []capgo.Signature) []capgo.Signature { s[0][100] ^= 1; return s } })
		got := r.mustSubmit(rotating(), alice)
		r.wantFailed(got.ID, `key "acme-new" is quarantined`)
		for name, want := range map[string]signer.KeyState{"acme": signer.KeyOK, "acme-new": signer.KeyQuarantined, "acme-alias": signer.KeyQuarantined} {
			if st, err := r.core.Key(name); err != nil || st.State != want {
				t.Errorf("key %s is %s, want %s", name, st.State, want)
			}
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		// Each signs with the other's key: right, but not under this pin.
		r.key.with(func(k *faultyKey) { k.private = otherTestKey() })
		next.with(func(k *faultyKey) { k.private = testKey() })
		got := r.mustSubmit(rotating(), alice)
		if got.State != signer.Failed || got.Result != nil {
			t.Errorf("%s, with the result %+v", got.State, got.Result)
		}
	})
}

// A place in the one queue is of no use without one in the other.
func TestQueuesOfAllKeysHaveRoomOrNone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		next := r.withNewKey()
		r.config.Keys[1].Queue = 2
		r.start()
		synctest.Wait()
		_, answer := r.inFlight(next) // alice has her half of the queue
		sub := rotating()
		sub.Version = "9.9.9"
		_, err := r.submit(sub, alice, "")
		if e := wantKind(t, err, signer.KindBusy); !strings.Contains(e.Detail, `"acme-new"`) {
			t.Errorf("found %q, want which key is busy", e.Detail)
		}
		if st, _ := r.core.Key("acme"); st.Waiting != 0 {
			t.Errorf("%d wait for the first key, want the place of the refused one given back", st.Waiting)
		}
		answer()
		synctest.Wait()
		if got := r.mustSubmit(sub, alice); got.State != signer.Signed {
			t.Errorf("afterwards: %s", got.State)
		}
	})
}

// A request that was authorized when the daemon died is finished with all its keys,
// with session keys that nobody has seen, or fails.
func TestAuthorizedRequestOfSeveralKeysAfterARestart(t *testing.T) {
	strand := func(r *rig) string {
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		id, answer := r.inFlight(next)
		r.stop()
		answer()
		next.with(func(k *faultyKey) { k.block = nil })
		return id
	}
	bubble(t, func(t *testing.T, r *rig) {
		id := strand(r)
		r.config.Policy = rules(t) // the decision was spent before
		r.start()
		got := r.end(id)
		sub := rotating()
		if got.State != signer.Signed || len(got.Result.Also) != 1 {
			t.Fatalf("%s: %s", got.State, got.Reason)
		}
		checkKeyResult(t, publicKey(t, testKey()), &sub, capgo.FormatLegacy, &got.Result.KeyResult)
		checkKeyResult(t, publicKey(t, otherTestKey()), &sub, capgo.FormatHex, &got.Result.Also[0])
		if n := len(r.leaves(audit.LeafSigned)); n != 1 {
			t.Errorf("the log has %d signatures, want 1", n)
		}
	})
	for name, c := range map[string]struct {
		change func(*rig)
		want   string
	}{
		"the second key is gone":        {func(r *rig) { r.config.Keys = r.config.Keys[:1] }, "its key acme-new ("},
		"the second is another key":     {func(r *rig) { r.config.Keys[1].Pin = publicKey(r.t, bankTestKey()); r.config.Keys = r.config.Keys[:2] }, "its key acme-new ("},
		"the second is another app's":   {func(r *rig) { r.config.Keys[1].Apps = []string{"com.acme.bank"}; r.config.Keys = r.config.Keys[:2] }, "no longer signs for com.acme.shop"},
		"the first is gone":             {func(r *rig) { r.config.Keys = r.config.Keys[1:] }, "its key acme ("},
		"the second has another name":   {func(r *rig) { r.config.Keys[1].Name = "acme-2" }, ""},
		"the second was disabled there": {nil, "is disabled: stolen"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				id := strand(r)
				r.open()
				if c.change == nil {
					if err := r.store.Update(t.Context(), func(tx signer.Tx) error { return tx.DisableKey("acme-new", "stolen") }); err != nil {
						t.Fatal(err)
					}
				} else {
					if err := r.store.Close(); err != nil {
						t.Fatal(err)
					}
					c.change(r)
					r.open()
				}
				uses := r.key.used()
				if err := r.core.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := r.end(id)
				if c.want == "" {
					if got.State != signer.Signed {
						t.Errorf("%s: %s", got.State, got.Reason)
					}
					return
				}
				if got.State != signer.Failed || got.Result != nil || !strings.Contains(got.Reason, c.want) {
					t.Errorf("%s: %s, want it failed: %s", got.State, got.Reason, c.want)
				}
				if strings.Contains(c.want, "signs for") && r.key.used() != uses {
					t.Error("the first key was used for what cannot be finished")
				}
			})
		})
	}
}

func TestApprovalsAreForAllKeysTogether(t *testing.T) {
	inOfficeWithNewKey(t, func(t *testing.T, r *rig, o *office, next *faultyKey) {
		one := submission()
		one.Format = capgo.FormatLegacy
		single, several := r.wait(one, ci), r.wait(rotating(), ci)
		if !strings.HasPrefix(single.Statement, "bundlesign approval v1\n") || strings.Contains(single.Statement, "also key") {
			t.Errorf("the statement of one key is in another form:\n%s", single.Statement)
		}
		for _, line := range []string{
			"key: acme, " + publicKey(t, testKey()).Fingerprint(), "checksum format: legacy",
			"also key: acme-new, " + publicKey(t, otherTestKey()).Fingerprint() + ", checksum format hex",
		} {
			if !strings.HasPrefix(several.Statement, "bundlesign approval v2\n") || strings.Count(several.Statement, "\n"+line+"\n") != 1 {
				t.Errorf("the statement has not the line %q once:\n%s", line, several.Statement)
			}
		}
		r.agree(single, o.anna, o.ben)
		// What was said about one key is not said about two, even of the same request.
		stripped := strings.Replace(several.Statement, "approval v2", "approval v1", 1)
		stripped = strings.Replace(stripped, "also key: acme-new, "+publicKey(t, otherTestKey()).Fingerprint()+", checksum format hex\n", "", 1)
		for name, sshsig := range map[string]string{
			"of another request":            r.state(single.ID).Approvals[0].SSHSIG,
			"of the statement without it":   o.anna.Sign(policy.ApprovalNamespace, stripped),
			"of the other keys' statement":  o.anna.Sign(policy.ApprovalNamespace, strings.ReplaceAll(several.Statement, "acme-new", "acme-alias")),
			"of the statement for one only": o.anna.Sign(policy.ApprovalNamespace, single.Statement),
		} {
			_, err := r.core.Approve(t.Context(), several.ID, sshsig)
			if e := wantKind(t, err, signer.KindApproval); !strings.Contains(e.Detail, "statement") {
				t.Errorf("%s: found %q", name, e.Detail)
			}
		}
		if got := r.agree(several, o.anna, o.ben, o.cleo); got.State != signer.Authorized {
			t.Fatalf("with all approvals: %s: %s", got.State, got.Note)
		}
		got := r.end(several.ID)
		if got.State != signer.Signed || len(got.Result.Also) != 1 {
			t.Fatalf("%s: %s", got.State, got.Reason)
		}
		sub := rotating()
		checkKeyResult(t, publicKey(t, otherTestKey()), &sub, capgo.FormatHex, &got.Result.Also[0])
		if got := r.state(single.ID); got.State != signer.Pending {
			t.Errorf("the request for one key is %s", got.State)
		}
	})
}

// Nothing that holds up one of the keys is passed by with the approvals for all.
func TestApprovedRequestWaitsForEveryKey(t *testing.T) {
	inOfficeWithNewKey(t, func(t *testing.T, r *rig, o *office, next *faultyKey) {
		req := r.wait(rotating(), ci)
		if err := r.core.DisableKey(t.Context(), "acme-new", "stolen", daveUser); err != nil {
			t.Fatal(err)
		}
		if got := r.agree(req, o.anna, o.ben, o.cleo); got.State != signer.Pending || !strings.Contains(got.Note, `key "acme-new" is disabled: stolen`) {
			t.Errorf("%s, %q, want it to wait for the second key", got.State, got.Note)
		}
		if err := r.core.EnableKey(t.Context(), "acme-new", "found", daveUser); err != nil {
			t.Fatal(err)
		}
		f, err := r.core.Freeze(t.Context(), signer.Freeze{Key: "acme-new", Reason: "lost again"}, daveUser, true)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.state(req.ID); got.State != signer.Pending || !strings.Contains(got.Note, "lost again") {
			t.Errorf("%s, %q, want it to wait for the freeze to be lifted", got.State, got.Note)
		}
		if r.key.used()+next.used() != 0 {
			t.Error("a key was used")
		}
		for _, p := range []string{o.cleo.Sign(policy.ThawNamespace, f.Statement), o.dave.Sign(policy.ThawNamespace, f.Statement)} {
			if _, err := r.core.Thaw(t.Context(), f.ID, p, ci, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Errorf("%s: %s", got.State, got.Reason)
		}
	})
	// A second key that another rule decides about by now.
	inOfficeWithNewKey(t, func(t *testing.T, r *rig, o *office, next *faultyKey) {
		req := r.wait(rotating(), ci)
		r.agree(req, o.anna, o.ben)
		d := o.document()
		d.Rules = append([]policy.Rule{{Name: "retired", Users: []policy.Glob{"*"}, When: `request.key == "acme-new"`, Effect: policy.Deny}}, d.Rules...)
		if err := r.core.SetPolicy(t.Context(), compile(t, d)); err != nil {
			t.Fatal(err)
		}
		if got := r.state(req.ID); got.State != signer.Denied || !strings.Contains(got.Reason, `for key "acme-new": rule "retired" denies it`) {
			t.Errorf("%s: %s, want it denied", got.State, got.Reason)
		}
		if r.key.used()+next.used() != 0 {
			t.Error("a key was used")
		}
	})
}

// inOfficeWithNewKey is inOffice with the keys of withNewKey.
func inOfficeWithNewKey(t *testing.T, fn func(t *testing.T, r *rig, o *office, next *faultyKey)) {
	t.Helper()
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy = compile(t, o.document())
		next := r.withNewKey()
		r.start()
		synctest.Wait()
		fn(t, r, o, next)
	})
}

// What an earlier release wrote about requests with one key is what this one writes:
// it would else not know its own requests again.
func TestOneKeyIsWrittenAsBefore(t *testing.T) {
	sub := submission()
	sub.Key = "acme"
	b, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"AppID":"com.acme.shop","Channel":"production","Version":"1.2.3","Digest":"` + sub.Digest.String() + `","Files":null,"Format":"hex","Labels":null,"Key":"acme"}`
	if string(b) != want {
		t.Errorf("found %s, want %s", b, want)
	}
	if b, err = json.Marshal(&signer.Result{}); err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	if len(members) != 4 || members["Checksum"] == nil || members["SessionKey"] == nil || members["Files"] == nil || members["Custody"] == nil {
		t.Errorf("found a result %s", b)
	}
	leaf, err := (&audit.Leaf{Type: audit.LeafSigned, Time: time.Unix(0, 0), Key: "acme", ChecksumSHA256: "c", SessionKeySHA256: "s"}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"v":1,"type":"signed","time":"1970-01-01T00:00:00Z","key":"acme","checksum_sha256":"c","session_key_sha256":"s"}`; string(leaf) != want {
		t.Errorf("found %s, want %s", leaf, want)
	}
}

// A key that is taken out of use while the result cannot be recorded, after all keys
// have done their parts, stops it too.
func TestFurtherKeyThatIsStoppedBeforeTheResultIsRecorded(t *testing.T) {
	for _, name := range []string{"acme", "acme-new"} {
		bubble(t, func(t *testing.T, r *rig) {
			r.withNewKey()
			r.start()
			synctest.Wait()
			r.store.failWith(func(n int) error {
				if n > 0 {
					return signer.ErrStoreFull
				}
				return nil
			})
			req, err := r.core.Submit(t.Context(), rotating(), alice, "")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if done, of := r.core.Progress(req.ID); done != 4 || of != 4 {
				t.Fatalf("%d of %d are signed, want all", done, of)
			}
			// It holds until the next start, though it cannot be recorded.
			_ = r.core.DisableKey(t.Context(), name, "stolen", daveUser)
			r.store.failWith(nil)
			r.wantFailed(req.ID, "its key was taken out of use before the result was recorded")
		})
	}
}

// A result by a key that is no longer the one of that name answers nothing.
func TestRetryWithAnotherFurtherKeyIsSignedAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.withNewKey()
		r.start()
		old := r.mustSubmit(rotating(), alice)
		r.stop()
		r.config.Keys = r.config.Keys[:2]
		r.config.Keys[1].Pin = publicKey(t, bankTestKey())
		r.config.Keys[1].Replicas[0].Key = &faultyKey{private: bankTestKey(), custody: signer.NonExtractable}
		r.start()
		got := r.mustSubmit(rotating(), alice)
		if got.State != signer.Signed || got.ID == old.ID {
			t.Fatalf("%s as request %s, the earlier was %s", got.State, got.ID, old.ID)
		}
		sub := rotating()
		checkKeyResult(t, publicKey(t, bankTestKey()), &sub, capgo.FormatHex, &got.Result.Also[0])
	})
}
