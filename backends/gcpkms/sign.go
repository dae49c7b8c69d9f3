package gcpkms

import (
	"context"
	"fmt"
	"sync/atomic"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/capgo"
)

// Sign implements [signer.Key]. The service signs one thing at a time, so a batch
// is many calls side by side, as many as [Options.MaxInFlight] allows.
func (k *Key) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	for i, p := range payloads {
		if _, err := p.MarshalBinary(); err != nil {
			return nil, fmt.Errorf("gcpkms: payload %d of %d: %w", i+1, len(payloads), err)
		}
	}
	signatures := make([]capgo.Signature, len(payloads))
	var next atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	for range min(k.parallel, len(payloads)) {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(payloads); i = int(next.Add(1)) - 1 {
				var err error
				if signatures[i], err = k.signOne(groupCtx, payloads[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	switch {
	case err == nil:
		return signatures, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("gcpkms: signing %d payloads: %w", len(payloads), ctx.Err())
	}
	return nil, err
}

// signOne has one payload signed. The slots are given out first come, first
// served, so a large batch leaves room for others.
func (k *Key) signOne(ctx context.Context, p capgo.Payload) (capgo.Signature, error) {
	var signature capgo.Signature
	if err := k.slots.Acquire(ctx, 1); err != nil {
		return signature, err
	}
	defer k.slots.Release(1)
	var entropy []byte
	if p.Kind() == capgo.KindSession {
		entropy = k.entropy(ctx)
		defer clear(entropy)
	}
	material, err := p.Material(entropy)
	if err != nil {
		return signature, err
	}
	defer clear(material)
	request := &kmspb.AsymmetricSignRequest{Name: k.uri.Version, Data: material, DataCrc32C: crc32c(material)}
	err = k.call(ctx, "signing", func(ctx context.Context, c *client) error {
		answer, err := c.AsymmetricSign(ctx, request)
		if err != nil {
			return err
		}
		signature, err = k.check(answer)
		return err
	})
	return signature, err
}

// check returns the signature of an answer.
func (k *Key) check(answer *kmspb.AsymmetricSignResponse) (capgo.Signature, error) {
	if err := k.checkAnswer(answer); err != nil {
		return capgo.Signature{}, err
	}
	signature, err := capgo.NewSignature(answer.GetSignature())
	if err != nil {
		return capgo.Signature{}, &fault{kind: unusable, text: err.Error()}
	}
	return signature, nil
}

// checkAnswer holds an answer against the question, as the service's documentation
// of data integrity asks for. The signature itself is verified by the core.
func (k *Key) checkAnswer(answer *kmspb.AsymmetricSignResponse) error {
	if err := intact("the signature", answer.GetSignature(), answer.GetSignatureCrc32C()); err != nil {
		return err
	}
	if !answer.GetVerifiedDataCrc32C() {
		return &fault{kind: unavailable, tries: attempts, text: "the service did not confirm the checksum of what it received"}
	}
	if err := k.same(answer.GetName()); err != nil {
		return err
	}
	return k.checkLevel(answer.GetProtectionLevel())
}

// same refuses the answer of another key version.
func (k *Key) same(name string) error {
	if name != k.uri.Version {
		return &fault{kind: unusable, text: fmt.Sprintf("asked for %s, the answer came from %q: spell the URI as the service does (project ID, not number), and check endpoint= and proxies", k.uri.Version, plain(name))}
	}
	return nil
}

// checkLevel refuses an answer from another protection level than was inspected.
func (k *Key) checkLevel(level kmspb.ProtectionLevel) error {
	if err := k.demand(level); err != nil {
		return err
	}
	if k.level.CompareAndSwap(0, int32(level)) {
		return nil
	}
	if inspected := kmspb.ProtectionLevel(k.level.Load()); inspected != level {
		return &fault{kind: unusable, text: fmt.Sprintf("the key version was inspected at protection level %s, and signed at %s", inspected, level)}
	}
	return nil
}

// demand holds a protection level against protection=hsm.
func (k *Key) demand(level kmspb.ProtectionLevel) error {
	if k.uri.HSM && !inHSM(level) {
		return &fault{kind: unusable, text: fmt.Sprintf("the URI demands protection=hsm, the key version has protection level %s", level)}
	}
	return nil
}
