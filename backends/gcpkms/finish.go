package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/bundlesign/bundlesign/capgo"
)

// Bounds of the time between two looks at something that the service makes in the
// background.
const (
	shortestLook = 200 * time.Millisecond
	longestLook  = 5 * time.Second
)

// finish waits for a new version to be ready, checks it, and returns its URI.
// from says how it must have come about.
func (m *Maker) finish(ctx context.Context, name string, pending kmspb.CryptoKeyVersion_CryptoKeyVersionState, from *origin) (string, error) {
	number, ok := strings.CutPrefix(name, m.uri.Key+"/cryptoKeyVersions/")
	if !ok || checkName(name, len(segments)) != nil {
		return "", m.mayLeave(&fault{kind: unusable, text: fmt.Sprintf("asked for a version of %s, the answer is about %q", m.uri.Key, plain(name))})
	}
	k := m.key(name)
	version, err := m.awaitVersion(ctx, name, pending)
	if err == nil {
		err = m.judge(ctx, k, version, from)
	}
	var f *fault
	if errors.As(err, &f) && f.empty {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("%w; version %s was made and is not known to be good; to be rid of it, once it is no longer pending: %s", err, number, m.uri.gcloud("keys versions destroy "+number))
	}
	m.logger.Info("a new version of the Cloud KMS key is ready", zap.String("version", path.Base(name)), zap.Bool("imported", from != nil))
	return m.uri.version(name), nil
}

// key returns a version as a key that is used over the maker's connection.
func (m *Maker) key(name string) *Key {
	s := *m.service
	s.explain = explain
	return &Key{
		service:  &s,
		uri:      &URI{Version: name, Access: m.uri.Access, HSM: !m.uri.Software},
		parallel: 1,
		slots:    semaphore.NewWeighted(1),
		random:   random{patience: entropyPatience},
	}
}

// awaitVersion asks for a version until it is ready, or never will be.
func (m *Maker) awaitVersion(ctx context.Context, name string, pending kmspb.CryptoKeyVersion_CryptoKeyVersionState) (version *kmspb.CryptoKeyVersion, err error) {
	err = m.await(ctx, "waiting for the version", func(ctx context.Context, c *client) (bool, error) {
		version, err = c.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: name})
		if err != nil {
			return false, err
		}
		switch state := version.GetState(); state {
		case kmspb.CryptoKeyVersion_ENABLED:
			return true, nil
		case pending:
			return false, nil
		case kmspb.CryptoKeyVersion_IMPORT_FAILED:
			return false, failed("import", version.GetImportFailureReason())
		case kmspb.CryptoKeyVersion_GENERATION_FAILED:
			return false, failed("make", version.GetGenerationFailureReason())
		default:
			return false, &fault{kind: unusable, text: fmt.Sprintf("the new version is in state %s, want %s and then ENABLED", state, pending)}
		}
	})
	return version, err
}

// failed says why there will be no key. A version in such a state cannot be used,
// enabled or destroyed (CryptoKeyVersionState in google/cloud/kms/v1/resources.proto).
func failed(do, reason string) *fault {
	return &fault{kind: unusable, empty: true, text: "the service could not " + do + " the key, and the version stays without one: " + plain(reason)}
}

// await asks about something until it is ready. A service that cannot be reached
// for a while is waited for too.
func (m *Maker) await(ctx context.Context, what string, ready func(context.Context, *client) (bool, error)) error {
	within, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	var last error = &fault{kind: unavailable, doing: what, text: fmt.Sprintf("not ready within %s", m.patience)}
	for pause := shortestLook; ; pause = min(2*pause, longestLook) {
		done := false
		err := m.call(within, what, func(ctx context.Context, c *client) (err error) {
			done, err = ready(ctx, c)
			return err
		})
		if ctx.Err() != nil {
			return fmt.Errorf("gcpkms: %s: %w", what, ctx.Err())
		}
		switch {
		case err == nil && done:
			return nil
		case err != nil && !errors.Is(err, unavailable) && within.Err() == nil:
			return err
		case err != nil && within.Err() == nil:
			last = err
		}
		if !sleep(within, pause) {
			if ctx.Err() != nil {
				return fmt.Errorf("gcpkms: %s: %w", what, ctx.Err())
			}
			return last
		}
	}
}

// judge holds a new version against what was asked for, and uses it once. Who makes
// keys need not be allowed to use them: then the daemon is the first that does,
// when it starts.
func (m *Maker) judge(ctx context.Context, k *Key, v *kmspb.CryptoKeyVersion, from *origin) error {
	if err := k.checkVersion(v); err != nil {
		return err
	}
	if got := v.GetProtectionLevel(); got != m.uri.level() {
		return &fault{kind: unusable, text: fmt.Sprintf("the new version has protection level %s, want %s", got, m.uri.level())}
	}
	if err := from.checkOrigin(v); err != nil {
		return err
	}
	public, err := k.readPublic(ctx, v.GetProtectionLevel())
	if m.mayNot(err, "read its public key") {
		return nil
	}
	if err != nil {
		return err
	}
	if from != nil && !public.Equal(from.public) {
		return &fault{kind: unusable, text: fmt.Sprintf("the new version has public key %s, imported was %s", public.Fingerprint(), from.public.Fingerprint())}
	}
	// A session key that is drawn for this and forgotten: of no use to anybody.
	test := capgo.SessionKeyPayload()
	signatures, err := k.Sign(ctx, []capgo.Payload{test})
	if m.mayNot(err, "sign with it") {
		return nil
	}
	if err != nil {
		return err
	}
	if err := public.Verify(test, signatures[0]); err != nil {
		return &fault{kind: unusable, text: "the new version's test signature is wrong: " + err.Error()}
	}
	return nil
}

// mayNot reports whether an error only says that the maker has no permission to
// use what it made.
func (m *Maker) mayNot(err error, do string) bool {
	var f *fault
	if !errors.As(err, &f) || !f.denied {
		return false
	}
	m.logger.Info("the new version was not tried out: whoever made it may not " + do + "; the daemon tries it when it starts")
	return true
}

// mayLeave adds to an error that a version may be there all the same, unless the
// error says that it is not.
func (m *Maker) mayLeave(err error) error {
	var f *fault
	if errors.As(err, &f) && f.undone {
		return err
	}
	return fmt.Errorf("%w; a version may have been made all the same: see %s, and destroy it there if it is not wanted", err, m.uri.gcloud("keys versions list"))
}
