package gcpkms

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	entropySize = 32 // bytes
	// entropyPatience is how long a session key waits for the HSM's random bytes.
	entropyPatience = 2 * time.Second
)

// random is what a key knows of the service's random bytes.
type random struct {
	patience time.Duration
	off      atomic.Bool // the service gives none
}

// entropy returns random bytes of the HSM, for a key that is in one, or nil. They
// are mixed with those of the system, which are enough by themselves, so that
// nothing depends on them: a location without an HSM, an account without the
// permission cloudkms.locations.generateRandomBytes, or a service that takes too
// long, is asked once and then not again until the key is next inspected.
func (k *Key) entropy(ctx context.Context) []byte {
	// Single-tenant HSMs and external key managers have no such call.
	if kmspb.ProtectionLevel(k.level.Load()) != kmspb.ProtectionLevel_HSM || k.random.off.Load() {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, min(k.random.patience, k.timeout))
	defer cancel()
	var data []byte
	err := k.attempt(within, func(ctx context.Context, c *client) error {
		answer, err := c.GenerateRandomBytes(ctx, &kmspb.GenerateRandomBytesRequest{
			Location: k.uri.Location(), LengthBytes: entropySize, ProtectionLevel: kmspb.ProtectionLevel_HSM,
		})
		if err != nil {
			return err
		}
		data = answer.GetData()
		return intact("random data", data, answer.GetDataCrc32C())
	})
	if err == nil {
		return data
	}
	clear(data)
	if ctx.Err() != nil {
		return nil // a caller who leaves says nothing of the service
	}
	f := explain(err)
	// The service knows the deadline too, and may say first that it is over.
	slow := within.Err() != nil || status.Code(err) == codes.DeadlineExceeded
	if (slow || errors.Is(f.kind, unusable)) && !k.random.off.Swap(true) {
		k.logger.Info("session keys are drawn from the system's generator alone: Cloud KMS gives no random bytes here", zap.String("reason", f.text))
	}
	return nil
}
