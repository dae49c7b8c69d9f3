package gcpkms_test

import (
	"fmt"
	"testing"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
)

const batch = 500

// BenchmarkBatch is a batch through the backend; compare BenchmarkBare.
func BenchmarkBatch(b *testing.B) {
	s := kmstest.New(b)
	s.Generate(name)
	uri, err := gcpkms.ParseURI("gcpkms://" + name)
	if err != nil {
		b.Fatal(err)
	}
	k := gcpkms.Open(gcpkms.Options{URI: uri, ClientOptions: s.ClientOptions()})
	defer k.Close()
	payloads := make([]capgo.Payload, batch)
	for i := range payloads {
		payloads[i], err = capgo.ChecksumPayload(capgo.Digest{byte(i), byte(i >> 8)}, capgo.FormatHex)
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := k.Sign(b.Context(), payloads); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "signatures/s")
}

// BenchmarkBare is the service's client alone, which checks nothing, with as many
// calls at once as do best.
func BenchmarkBare(b *testing.B) {
	s := kmstest.New(b)
	s.Generate(name)
	for _, parallel := range []int{8, 16, 32} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			c, err := kms.NewKeyManagementClient(b.Context(), s.ClientOptions()...)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for b.Loop() {
				group, ctx := errgroup.WithContext(b.Context())
				group.SetLimit(parallel)
				for i := range batch {
					group.Go(func() error {
						_, err := c.AsymmetricSign(ctx, &kmspb.AsymmetricSignRequest{Name: name, Data: []byte{31: byte(i)}})
						return err
					})
				}
				if err := group.Wait(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "signatures/s")
		})
	}
}
