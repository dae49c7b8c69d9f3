// Package gcpkms signs with a key version in Google Cloud KMS, makes such
// versions, and has the audit log's key there.
//
// The algorithm is RSA_SIGN_RAW_PKCS1_2048: the raw private-key operation over
// PKCS#1 v1.5 padding without a DigestInfo, which is what this format needs. The
// log's is EC_SIGN_ED25519.
//
// Its invariant is that an answer counts only if it is the answer to the question
// that was asked: the service confirms the checksum of what it received, the
// checksum of what it sent is computed again here, and the key version and its
// protection level are the ones that were configured and inspected. Nothing is
// looked up, dialled or authenticated before the key is used, and a connection
// or credentials that stopped working are made anew at the next use.
//
// What the service says about where the key lives is its own word: the HSM's
// attestation is fetched and named in the evidence, not verified here.
package gcpkms

import (
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"google.golang.org/api/option"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/signer"
)

// Backend is the name of this backend in custody evidence.
const Backend = "gcpkms"

const (
	defaultMaxInFlight = 16
	maxInFlight        = 256
)

// Options are how a key is used.
type Options struct {
	URI *URI // from [ParseURI]
	// Timeout is how long one operation, that is one signature with its retries
	// or one inspection, may take before the service counts as hung; 0 means 10 s.
	Timeout time.Duration
	// MaxInFlight bounds how many signatures are asked for at once, over all
	// callers; 0 means 16, the greatest is 256. More than the key's quota gives
	// is of no use: the service refuses it and the key waits.
	MaxInFlight int
	Logger      *zap.Logger // nil discards
	// ClientOptions are added to those that the URI asks for, and win over them.
	// They are for reaching a server that is not the real service; nil is right
	// for everything else. With them no credentials are looked for unless the
	// URI has credentials= or impersonate=.
	ClientOptions []option.ClientOption
}

// Key is one key version.
type Key struct {
	*service
	uri      *URI
	parallel int
	slots    *semaphore.Weighted
	random   random
	gate     gate.Gate

	// level is the protection level that was last inspected or, before that,
	// seen first; 0 is unknown.
	level atomic.Int32
}

var _ signer.Key = (*Key)(nil)

// Open returns the key that the options describe, without touching it.
func Open(o Options) *Key {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	o.MaxInFlight = min(o.MaxInFlight, maxInFlight)
	return &Key{
		service:  o.service(),
		uri:      o.URI,
		parallel: o.MaxInFlight,
		slots:    semaphore.NewWeighted(int64(o.MaxInFlight)),
		random:   random{patience: entropyPatience},
	}
}

// service returns the way to the key version that the options describe.
func (o Options) service() *service {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	logger := o.Logger.With(zap.String("key_version", o.URI.Version))
	return newService(o.URI.Access, o.Timeout, logger, o.ClientOptions, explain)
}

// Close implements [signer.Key].
func (k *Key) Close() error {
	k.gate.Close()
	return k.clients.close()
}

var errClosed = fmt.Errorf("%w: gcpkms: the key was closed", signer.ErrKeyUnusable)
