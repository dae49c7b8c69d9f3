package gcpkms

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap"
	"google.golang.org/api/option"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/signer"
)

// defaultPatience is far above the seconds that the service needs to make a key or
// to take one in.
const defaultPatience = 5 * time.Minute

// MakerOptions are what a [Maker] makes, and how.
type MakerOptions struct {
	URI *KeyURI // from [ParseKeyURI]
	// Timeout is how long the service may take to answer one call; 0 means 10 s.
	Timeout time.Duration
	// Patience is how long it may then take to make a key or a wrapping key, or to
	// take a key in; 0 means 5 min.
	Patience time.Duration
	Logger   *zap.Logger // nil discards
	// ClientOptions are as those of [Options].
	ClientOptions []option.ClientOption
}

// Maker makes new versions of one Cloud KMS key, and that key itself if it does not
// exist. It is a backends.KeyMaker.
type Maker struct {
	*service
	uri      *KeyURI
	patience time.Duration
	extra    []option.ClientOption
	gate     gate.Gate
}

// NewMaker returns the maker that the options describe, without touching anything.
func NewMaker(o MakerOptions) *Maker {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	logger := o.Logger.With(zap.String("crypto_key", o.URI.Key))
	return &Maker{
		service:  newService(o.URI.Access, o.Timeout, logger, o.ClientOptions, explainMaking),
		uri:      o.URI,
		patience: o.Patience,
		extra:    o.ClientOptions,
	}
}

// Close implements backends.KeyMaker.
func (m *Maker) Close() error {
	m.gate.Close()
	return m.clients.close()
}

// Open returns the key that Create or Import returned the URI of, to show its public
// half. It is reached as the maker is and with the maker's credentials, which are
// not in the URI, and is closed by itself.
func (m *Maker) Open(uri string) (*Key, error) {
	u, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	u.Access = m.uri.Access
	return Open(Options{URI: u, Timeout: m.timeout, Logger: m.logger, ClientOptions: m.extra}), nil
}

var errMakerClosed = fmt.Errorf("%w: gcpkms: the maker was closed", signer.ErrKeyUnusable)

// Create implements backends.KeyMaker.
func (m *Maker) Create(ctx context.Context) (string, error) {
	if !m.gate.Enter() {
		return "", errMakerClosed
	}
	defer m.gate.Leave()
	if err := m.ensure(ctx, false); err != nil {
		return "", err
	}
	var version *kmspb.CryptoKeyVersion
	err := m.once(ctx, "making a version", func(ctx context.Context, c *client) (err error) {
		version, err = c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{
			Parent: m.uri.Key, CryptoKeyVersion: &kmspb.CryptoKeyVersion{},
		})
		return err
	})
	if err != nil {
		return "", m.mayLeave(err)
	}
	return m.finish(ctx, version.GetName(), kmspb.CryptoKeyVersion_PENDING_GENERATION, nil)
}
