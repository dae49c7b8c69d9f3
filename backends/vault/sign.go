package vault

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	// maxBatch is how many payloads go into one request: far below the 10,000 that
	// Vault takes, so that none is long under way, and none far from its deadline.
	maxBatch = 256
	// A batch is split among as many requests at once, because Vault works on each
	// with one processor, unless it is smaller than minSplit.
	perBatch = 4
	minSplit = 16
)

type signRequest struct {
	// The raw operation: PKCS#1 v1.5 padding around the input, without a DigestInfo.
	Prehashed          bool   `json:"prehashed"`
	SignatureAlgorithm string `json:"signature_algorithm"`
	HashAlgorithm      string `json:"hash_algorithm"`
	KeyVersion         int    `json:"key_version"`

	Input string      `json:"input,omitempty"` // base64; for one
	Batch []batchItem `json:"batch_input,omitempty"`
}

type batchItem struct {
	Input string `json:"input"`
}

type signAnswer struct {
	Data struct {
		Signature string       `json:"signature"`
		Batch     []signResult `json:"batch_results"`
	} `json:"data"`
}

type signResult struct {
	Signature string `json:"signature"`
	Error     string `json:"error"`
}

// Sign implements [signer.Key].
func (k *Key) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for i, p := range payloads {
		if _, err := p.MarshalBinary(); err != nil {
			return nil, fmt.Errorf("vault: payload %d of %d: %w", i+1, len(payloads), err)
		}
	}
	size := maxBatch
	if n := len(payloads); n >= minSplit {
		size = min(size, (n+perBatch-1)/perBatch)
	}
	signatures := make([]capgo.Signature, len(payloads))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(perBatch)
	for from := 0; from < len(payloads) && inner.Err() == nil; from += size {
		to := min(from+size, len(payloads))
		group.Go(func() error { return k.signChunk(inner, payloads[from:to], signatures[from:to]) })
	}
	err = group.Wait()
	if ctx.Err() != nil && err == nil {
		// The caller left between two chunks.
		err = fmt.Errorf("vault %s: signing: %w", k.uri.name(), ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return signatures, nil
}

// signChunk signs a few payloads with one request.
func (k *Key) signChunk(ctx context.Context, payloads []capgo.Payload, signatures []capgo.Signature) error {
	const doing = "signing"
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return k.sessions.fault(ctx, doing, ctx.Err())
	}
	order, err := k.order(ctx, payloads)
	if err != nil {
		return err
	}
	var answer signAnswer
	err = k.sessions.do(ctx, doing, func(c *api.Client) error {
		answer = signAnswer{}
		return request(ctx, c, k.cfg.Timeout, k.uri.Mount+"/sign/"+k.uri.Key, order, &answer)
	})
	if err != nil {
		return k.look(ctx, err, k.sessions.fault(ctx, doing, err))
	}
	results := answer.Data.Batch
	if order.Batch == nil {
		results = []signResult{{Signature: answer.Data.Signature}}
	}
	if len(results) != len(payloads) {
		return fmt.Errorf("%w: vault %s: vault gave %d results for %d payloads", signer.ErrUnavailable, k.uri.name(), len(results), len(payloads))
	}
	for i, result := range results {
		if result.Error != "" {
			return k.look(ctx, nil, fmt.Errorf("%w: vault %s: payload %d of %d: vault says: %s", signer.ErrUnavailable, k.uri.name(), i+1, len(payloads), k.sessions.show(result.Error)))
		}
		if signatures[i], err = k.parse(result.Signature); err != nil {
			return k.look(ctx, nil, fmt.Errorf("%w: vault %s: payload %d of %d: %w", signer.ErrUnavailable, k.uri.name(), i+1, len(payloads), err))
		}
	}
	return nil
}

// order makes the request for some payloads.
func (k *Key) order(ctx context.Context, payloads []capgo.Payload) (*signRequest, error) {
	order := &signRequest{
		Prehashed:          true,
		SignatureAlgorithm: "pkcs1v15",
		HashAlgorithm:      "none",
		KeyVersion:         k.uri.Version,
	}
	for _, p := range payloads {
		var extra []byte
		if p.Kind() == capgo.KindSession {
			var err error
			if extra, err = k.draw(ctx); err != nil {
				return nil, err
			}
		}
		material, err := p.Material(extra)
		if err != nil {
			return nil, err
		}
		input := base64.StdEncoding.EncodeToString(material)
		clear(material)
		order.Batch = append(order.Batch, batchItem{input})
	}
	if len(order.Batch) == 1 {
		order.Input, order.Batch = order.Batch[0].Input, nil
	}
	return order, nil
}

// parse reads a signature of an RSA key.
func (k *Key) parse(text string) (capgo.Signature, error) {
	raw, err := k.decode(text)
	if err != nil {
		return capgo.Signature{}, err
	}
	return capgo.NewSignature(raw)
}

// look returns what is wrong with the key, or told if that shows nothing.
func (k *Key) look(ctx context.Context, answer, told error) error {
	return blame(ctx, answer, told, func() error { _, err := k.inspect(ctx); return err })
}
