package backendtest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// MakerHarness is a real backend in which keys can be made.
type MakerHarness struct {
	// Maker returns a maker of the key of this name: of the same key each time
	// that the name is the same. The suite closes it. Names are lower-case
	// letters and hyphens.
	Maker func(t *testing.T, name string) backends.KeyMaker
	// Open opens the key with a URI that a maker returned. The suite closes it.
	Open func(t *testing.T, uri string) signer.Key
	// Keys counts the private keys in the backend, versions counted one by one,
	// in another way than the maker's.
	Keys func(t *testing.T) int
	// Extract tries to get a private key out of the backend, with all that an
	// administrator of the backend can do, and returns the error that it met.
	Extract func(t *testing.T, uri string) error
	// Versions says that a name which has a key can be given another, with a URI
	// of its own, beside the first. Otherwise that is refused.
	Versions bool
	// Backend, Created and Imported are what the custody evidence must say.
	Backend           string
	Created, Imported signer.CustodyLevel
	// Break makes the backend unreachable until the function that it returns is
	// called.
	Break func(t *testing.T) (heal func())
	// Secrets must be in no error and no sentence of a plan.
	Secrets []string
}

// RunMaker judges a [backends.KeyMaker].
func RunMaker(t *testing.T, h MakerHarness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *makerSuite)
	}{
		{"create", testMakerCreate},
		{"create again", testMakerCreateAgain},
		{"import", testMakerImport},
		{"import over another", testMakerImportOver},
		{"import what devices do not accept", testMakerImportUnfit},
		{"plan", testMakerPlan},
		{"cancelled", testMakerCancelled},
		{"unreachable and back again", testMakerUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &makerSuite{h, &suite{Harness{Secrets: h.Secrets}}}) })
	}
}

type makerSuite struct {
	MakerHarness
	judge *suite // of errors
}

func (s *makerSuite) maker(t *testing.T, name string) backends.KeyMaker {
	t.Helper()
	m := s.Maker(t, name)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing the maker: %v", err)
		}
	})
	return m
}

// check opens a new key and checks that it is what it should be, and returns its
// public half.
func (s *makerSuite) check(t *testing.T, uri string, level signer.CustodyLevel) *capgo.PublicKey {
	t.Helper()
	if err := backends.CheckURI(uri); err != nil {
		t.Fatalf("the URI of the new key: %v", err)
	}
	s.judge.discreet(t, errors.New(uri))
	k := s.Open(t, uri)
	defer func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the new key: %v", err)
		}
	}()
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatalf("inspecting the new key %s: %v", uri, err)
	}
	if e.Custody.Level != level || e.Custody.Backend != s.Backend {
		t.Errorf("custody %q by backend %q, want %q by %q; evidence %v", e.Custody.Level, e.Custody.Backend, level, s.Backend, e.Custody.Evidence)
	}
	of := &suite{Harness{PublicKey: e.PublicKey, Secrets: s.Secrets}}
	of.sign(t, k, checksum(t, "a", capgo.FormatHex), checksum(t, "a", capgo.FormatLegacy), capgo.SessionKeyPayload())
	return e.PublicKey
}

// nothing checks that there are as many keys as before.
func (s *makerSuite) nothing(t *testing.T, before int, after string) {
	t.Helper()
	if n := s.Keys(t); n != before {
		t.Errorf("%d keys after %s, want %d as before", n, after, before)
	}
}

func (s *makerSuite) create(t *testing.T, name string) (uri string) {
	t.Helper()
	uri, err := s.maker(t, name).Create(t.Context())
	if err != nil {
		s.judge.discreet(t, err)
		t.Fatalf("creating %s: %v", name, err)
	}
	return uri
}

func testMakerCreate(t *testing.T, s *makerSuite) {
	before := s.Keys(t)
	uri := s.create(t, "made-here")
	s.check(t, uri, s.Created)
	s.nothing(t, before+1, "creating one")
	if err := s.Extract(t, uri); err == nil {
		t.Error("the private key can be taken out")
	}
	other := s.create(t, "made-too")
	if s.check(t, uri, s.Created).Equal(s.check(t, other, s.Created)) {
		t.Error("two keys are the same")
	}
}

func testMakerCreateAgain(t *testing.T, s *makerSuite) {
	uri := s.create(t, "made-twice")
	first := s.check(t, uri, s.Created)
	before := s.Keys(t)
	second, err := s.maker(t, "made-twice").Create(t.Context())
	s.judge.discreet(t, err)
	switch {
	case !s.Versions && err == nil:
		t.Errorf("a second key of the name was made: %s", second)
	case !s.Versions:
		s.nothing(t, before, "creating a second was refused")
	case err != nil:
		t.Errorf("creating a second version: %v", err)
	case second == uri:
		t.Errorf("the second version has the first one's URI %s", uri)
	default:
		s.nothing(t, before+1, "creating a second version")
		if s.check(t, second, s.Created).Equal(first) {
			t.Error("two versions are the same key")
		}
	}
	if !s.check(t, uri, s.Created).Equal(first) {
		t.Error("the first key is another by now")
	}
}

func testMakerImport(t *testing.T, s *makerSuite) {
	for name, private := range map[string]*rsa.PrivateKey{
		"drawn-by-go":      goKey(t),
		"drawn-by-openssl": opensslKey(t, 2048, "65537"),
	} {
		t.Run(name, func(t *testing.T) {
			before, s := s.Keys(t), s.guarding(private)
			kept := copyOf(private)
			uri, err := s.maker(t, name).Import(t.Context(), private)
			if err != nil {
				s.judge.discreet(t, err)
				t.Fatal(err)
			}
			if !private.Equal(kept) {
				t.Error("importing changed the caller's key")
			}
			if !s.check(t, uri, s.Imported).RSA().Equal(&private.PublicKey) {
				t.Error("another public key than that of what was imported")
			}
			s.nothing(t, before+1, "importing one")
			s.sameAsGo(t, uri, private)
			if err := s.Extract(t, uri); err == nil {
				t.Error("the private key can be taken out again")
			}
		})
	}
}

// guarding returns the suite with a private key among its secrets.
func (s *makerSuite) guarding(k *rsa.PrivateKey) *makerSuite {
	h := s.MakerHarness
	for _, n := range append([]*big.Int{k.D}, k.Primes...) {
		// The middle of a number is in any longer text of it.
		digits, hexDigits := n.String(), n.Text(16)
		h.Secrets = append(h.Secrets[:len(h.Secrets):len(h.Secrets)], digits[40:80], hexDigits[40:80], strings.ToUpper(hexDigits[40:80]))
	}
	return &makerSuite{h, &suite{Harness{Secrets: h.Secrets}}}
}

func (s *makerSuite) sameAsGo(t *testing.T, uri string, private *rsa.PrivateKey) {
	t.Helper()
	k := s.Open(t, uri)
	defer k.Close()
	p := checksum(t, "a bundle", capgo.FormatHex)
	material, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := rsa.SignPKCS1v15(nil, private, crypto.Hash(0), material)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Sign(t.Context(), []capgo.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	if string(got[0][:]) != string(want) {
		t.Errorf("the imported key made\n%x\nand crypto/rsa\n%x", got[0], want)
	}
}

func testMakerImportOver(t *testing.T, s *makerSuite) {
	private := goKey(t)
	s = s.guarding(private)
	uri := s.create(t, "made-twice-import")
	first := s.check(t, uri, s.Created)
	before := s.Keys(t)
	// Not every backend that has versions takes an imported one beside one of its
	// own; what it refuses it leaves alone.
	second, err := s.maker(t, "made-twice-import").Import(t.Context(), private)
	switch {
	case err != nil:
		s.judge.discreet(t, err)
		s.nothing(t, before, "a refused import")
	case !s.Versions || second == uri:
		t.Errorf("an import over another key was accepted as %s", second)
	default:
		s.check(t, second, s.Imported)
	}
	if !s.check(t, uri, s.Created).Equal(first) {
		t.Error("the first key is another by now")
	}
}

func testMakerImportUnfit(t *testing.T, s *makerSuite) {
	key, other := goKey(t), goKey(t)
	before := s.Keys(t)
	for name, private := range map[string]*rsa.PrivateKey{
		"bits-low":     opensslKey(t, 1024, "65537"),
		"bits-high":    opensslKey(t, 3072, "65537"),
		"exponent":     opensslKey(t, 2048, "3"),
		"inconsistent": {PublicKey: key.PublicKey, D: other.D, Primes: key.Primes},
		"mixed":        {PublicKey: other.PublicKey, D: key.D, Primes: key.Primes},
		"none":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			if private != nil {
				s = s.guarding(private)
			}
			uri, err := s.maker(t, "unfit-"+name).Import(t.Context(), private)
			if err == nil || uri != "" {
				t.Errorf("imported as %q, error %v", uri, err)
			}
			s.judge.discreet(t, err)
			s.nothing(t, before, "a refused import")
		})
	}
	// The backend does not have to be there to say no.
	heal := s.Break(t)
	defer heal()
	_, err := s.maker(t, "unfit-unasked").Import(t.Context(), opensslKey(t, 1024, "65537"))
	if err == nil || errors.Is(err, signer.ErrUnavailable) {
		t.Errorf("error %v, want the key refused before the backend is asked", err)
	}
}

func testMakerPlan(t *testing.T, s *makerSuite) {
	before := s.Keys(t)
	for _, importing := range []bool{false, true} {
		t.Run(fmt.Sprintf("importing %t", importing), func(t *testing.T) {
			said, err := s.maker(t, "planned").Plan(t.Context(), importing)
			if err != nil {
				s.judge.discreet(t, err)
				t.Fatal(err)
			}
			text := strings.Join(said, " ")
			s.judge.discreet(t, errors.New(text))
			if !strings.Contains(text, "planned") {
				t.Errorf("the plan does not name the key: %s", text)
			}
			for _, sentence := range said {
				if !strings.HasSuffix(sentence, ".") || strings.ContainsAny(sentence, "\n\x1b") {
					t.Errorf("no sentence: %q", sentence)
				}
			}
			s.nothing(t, before, "a plan")
		})
	}
	// What was planned can be done, and then stands in the way or is a version.
	s.create(t, "planned")
	_, err := s.maker(t, "planned").Plan(t.Context(), false)
	if s.Versions != (err == nil) {
		t.Errorf("the plan of a name that has a key: error %v; are there versions: %t", err, s.Versions)
	}
	s.judge.discreet(t, err)
	s.nothing(t, before+1, "a second plan")
}

func testMakerCancelled(t *testing.T, s *makerSuite) {
	private := goKey(t)
	s = s.guarding(private)
	before := s.Keys(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m := s.maker(t, "cancelled")
	soon(t, "a maker whose context has ended", func() {
		_, err := m.Plan(ended, false)
		s.judge.refused(t, err, context.Canceled)
		_, err = m.Create(ended)
		s.judge.refused(t, err, context.Canceled)
		_, err = m.Import(ended, private)
		s.judge.refused(t, err, context.Canceled)
	})
	s.nothing(t, before, "what was cancelled")
	s.check(t, s.create(t, "cancelled"), s.Created)
}

func testMakerUnreachable(t *testing.T, s *makerSuite) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %t", used), func(t *testing.T) { s.unreachable(t, used) })
	}
}

func (s *makerSuite) unreachable(t *testing.T, used bool) {
	private := goKey(t)
	s = s.guarding(private)
	name := fmt.Sprintf("unreachable-%t", used)
	m := s.maker(t, name)
	if used {
		if _, err := m.Plan(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Keys(t)
	heal := s.Break(t)
	soon(t, "a maker without a backend", func() {
		_, err := m.Plan(t.Context(), false)
		s.judge.refused(t, err, signer.ErrUnavailable)
		uri, err := m.Create(t.Context())
		s.judge.refused(t, err, signer.ErrUnavailable)
		if uri != "" {
			t.Errorf("the URI %q beside an error", uri)
		}
		_, err = m.Import(t.Context(), private)
		s.judge.refused(t, err, signer.ErrUnavailable)
	})
	heal()
	s.nothing(t, before, "failures")
	eventually(t, func() error {
		_, err := m.Plan(t.Context(), false)
		s.judge.discreet(t, err)
		return err
	})
	uri, err := m.Create(t.Context())
	if err != nil {
		t.Fatalf("creating once the backend is back: %v", err)
	}
	s.check(t, uri, s.Created)
}
