package gcpkms

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// look returns the key, which then fits, or nil if there is none yet but a key
// ring for it.
func (m *Maker) look(ctx context.Context, importing bool) (*kmspb.CryptoKey, error) {
	var key *kmspb.CryptoKey
	err := m.call(ctx, "looking for the key", func(ctx context.Context, c *client) (err error) {
		key, err = c.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: m.uri.Key})
		if status.Code(err) == codes.NotFound {
			key = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, m.lookForRing(ctx)
	}
	return key, m.fits(key, importing)
}

func (m *Maker) lookForRing(ctx context.Context) error {
	err := m.call(ctx, "looking for the key ring", func(ctx context.Context, c *client) error {
		_, err := c.GetKeyRing(ctx, &kmspb.GetKeyRingRequest{Name: m.uri.ring()})
		if status.Code(err) == codes.NotFound {
			return m.noRing()
		}
		return err
	})
	// Who may make keys in a ring need not be allowed to look at it.
	var f *fault
	if errors.As(err, &f) && f.denied {
		return nil
	}
	return err
}

func (m *Maker) noRing() *fault {
	return &fault{kind: unusable, undone: true, text: fmt.Sprintf(
		"there is no key ring %q in location %q of project %q; a key ring is not made here, because it cannot be deleted and its location is for good: gcloud kms keyrings create %s --location=%s --project=%s",
		m.uri.part(2), m.uri.part(1), m.uri.part(0), m.uri.part(2), m.uri.part(1), m.uri.part(0),
	)}
}

// fits refuses a key whose versions are not what is wanted. None of this can be
// changed in a key, but for the algorithm of later versions.
func (m *Maker) fits(key *kmspb.CryptoKey, importing bool) error {
	template := key.GetVersionTemplate()
	no := func(format string, a ...any) error {
		f := &fault{kind: unusable, undone: true, text: "a key of this name exists, but " + fmt.Sprintf(format, a...) + ": take another name"}
		return f.during("looking for the key")
	}
	switch {
	case key.GetName() != m.uri.Key:
		return no("the answer is about %q, asked was for %s", plain(key.GetName()), m.uri.Key)
	case key.GetPurpose() != kmspb.CryptoKey_ASYMMETRIC_SIGN:
		return no("its purpose is %s, want ASYMMETRIC_SIGN", key.GetPurpose())
	case template.GetAlgorithm() != algorithm:
		return no("its versions are made for algorithm %s, want %s", template.GetAlgorithm(), algorithm)
	case template.GetProtectionLevel() != m.uri.level():
		return no("its protection level is %s, want %s (protection= in the URI says which)", template.GetProtectionLevel(), m.uri.level())
	case key.GetImportOnly() && !importing:
		return no("it takes imported versions only, and none that is made in Cloud KMS")
	}
	return nil
}

// ensure makes the key if there is none. It has no version then: the service makes
// a first one only together with a key, and does not say what it is called.
func (m *Maker) ensure(ctx context.Context, importing bool) error {
	key, err := m.look(ctx, importing)
	if err != nil || key != nil {
		return err
	}
	taken := false
	err = m.once(ctx, "making the key", func(ctx context.Context, c *client) error {
		_, err := c.CreateCryptoKey(ctx, &kmspb.CreateCryptoKeyRequest{
			Parent:      m.uri.ring(),
			CryptoKeyId: m.uri.part(3),
			CryptoKey: &kmspb.CryptoKey{
				Purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN,
				VersionTemplate: &kmspb.CryptoKeyVersionTemplate{
					ProtectionLevel: m.uri.level(),
					Algorithm:       algorithm,
				},
				ImportOnly: importing,
			},
			SkipInitialVersionCreation: true,
		})
		switch status.Code(err) {
		case codes.NotFound:
			return m.noRing()
		case codes.AlreadyExists:
			taken = true
		}
		return err
	})
	if taken {
		return m.taken(ctx, importing)
	}
	if err != nil {
		var f *fault
		if errors.As(err, &f) && f.undone {
			return err
		}
		return fmt.Errorf("%w; the key %s may have been made all the same, without a version in it: the next call uses it", err, m.uri.Key)
	}
	m.logger.Info("made a Cloud KMS key", zap.Bool("import_only", importing))
	return nil
}

// taken decides about a name that was free when it was looked for, and is not any
// more: somebody else has just made that key, or it belonged to one that was
// deleted.
func (m *Maker) taken(ctx context.Context, importing bool) error {
	key, err := m.look(ctx, importing)
	if err == nil && key == nil {
		return &fault{kind: unusable, doing: "making the key", text: "the name of the key was given to another before: a deleted key keeps its name, so take another one"}
	}
	return err
}
