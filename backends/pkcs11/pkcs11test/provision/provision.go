// Package provision prepares PKCS#11 tokens for tests: it initializes them and puts
// keys in.
//
// It works in a process of its own, since a module may need another environment
// than the test's (a namespace, say), can be initialized once in a process only,
// and may be in use in the test's own. The test binary is started again for it:
// its TestMain calls [Main] when its first argument is [Arg].
package provision

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// Arg is the first argument of a test binary that is to run [Main].
const Arg = "provision-pkcs11-token"

// Token is a token and how to get at it.
type Token struct {
	Module   string   // path
	InitArgs string   // the reserved argument of C_Initialize, or ""
	Label    string   // "": the only token that there is
	PIN      string   // of the user
	SOPIN    string   // of the security officer; for [Token.Init] only
	Prefix   []string `json:"-"` // the command that runs a program where the module works, or nil
	Env      []string `json:"-"` // beside the test's own environment
}

// order is what the process is asked to do, and answer what came of it.
type order struct {
	Token
	Do         string
	FactorySO  string      // init: the security officer's PIN so far
	Object     string      // generate, import
	PrivateKey *rsaNumbers // import
}

type answer struct{ Modulus []byte }

// rsaNumbers are the numbers of an RSA key, big-endian.
type rsaNumbers struct{ N, D, P, Q, DP, DQ, QInv []byte }

// Init makes the token anew with the label and both PINs. FactorySO is the security
// officer's PIN that it has so far. PINs are set and then changed by those they
// belong to, which some tokens insist on.
func (tk *Token) Init(t testing.TB, factorySO string) {
	t.Helper()
	tk.run(t, order{Token: *tk, Do: "init", FactorySO: factorySO})
}

// GenerateKey has the token make an RSA-2048 key that signs only, is sensitive and
// never extractable, and returns its public half.
func (tk *Token) GenerateKey(t testing.TB, object string) *capgo.PublicKey {
	t.Helper()
	got := tk.run(t, order{Token: *tk, Do: "generate", Object: object})
	public, err := capgo.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(got.Modulus), E: capgo.KeyExponent})
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// ImportKey brings a key from outside into the token, sensitive and not extractable.
func (tk *Token) ImportKey(t testing.TB, object string, key *rsa.PrivateKey) {
	t.Helper()
	tk.run(t, order{Token: *tk, Do: "import", Object: object, PrivateKey: &rsaNumbers{
		N: key.N.Bytes(), D: key.D.Bytes(), P: key.Primes[0].Bytes(), Q: key.Primes[1].Bytes(),
		DP: key.Precomputed.Dp.Bytes(), DQ: key.Precomputed.Dq.Bytes(), QInv: key.Precomputed.Qinv.Bytes(),
	}})
}

func (tk *Token) run(t testing.TB, o order) answer {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(append([]string{}, tk.Prefix...), exe, Arg)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), tk.Env...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("preparing the token (%s): %v\n%s", o.Do, err, stderr.String())
	}
	// Modules may write to standard output too: the answer is the last line.
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var a answer
	if err := json.Unmarshal(lines[len(lines)-1], &a); err != nil {
		t.Fatal(fmt.Errorf("preparing the token (%s): %w in %q", o.Do, err, out))
	}
	return a
}
