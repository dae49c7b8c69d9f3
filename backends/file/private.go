package file

import (
	"crypto/rsa"
	"fmt"
	"math/big"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/capgo"
)

// ReadPrivate reads the private key in the file at path, once, for bringing it
// into another backend. The file must be one that nobody else can read or change,
// and the key one that devices accept, as for [Open]. The caller calls [Forget].
func ReadPrivate(path string) (*rsa.PrivateKey, *capgo.PublicKey, error) {
	data, _, err := secretfile.Read(path, secretfile.Rule{Max: maxFile})
	if err != nil {
		return nil, nil, err
	}
	defer clear(data)
	private, public, err := parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := private.Validate(); err != nil {
		// What is wrong with it would speak of its numbers.
		return nil, nil, fmt.Errorf("%s: found an RSA key whose numbers do not belong together: the file is damaged", path)
	}
	return private, public, nil
}

// Forget overwrites the secret numbers of a key. Copies that Go's library keeps
// out of reach stay until the memory is used again or the process ends, which is
// why such a process is short and makes no core dumps.
func Forget(key *rsa.PrivateKey) {
	secret := append([]*big.Int{key.D, key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv}, key.Primes...)
	for _, n := range secret {
		if n != nil {
			clear(n.Bits())
		}
	}
}
