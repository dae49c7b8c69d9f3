package gcpkms_test

import (
	"context"
	"math"
	"testing"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
)

// batch is a large delta update.
const batch = 5000

// BenchmarkBatch signs batches through the backend and, turn by turn, with the
// service's client alone, which checks nothing, at the numbers of calls at once that
// do best. Of each the best turn counts, because a machine does other things too.
// ratio is the backend's rate to the best bare one, by the clock; cpu-ratio is the
// same by the processor time of client and server together.
func BenchmarkBatch(b *testing.B) {
	s := kmstest.New(b)
	s.Generate(name)
	uri, err := gcpkms.ParseURI(gcpkms.Scheme + name)
	if err != nil {
		b.Fatal(err)
	}
	k := gcpkms.Open(gcpkms.Options{URI: uri, ClientOptions: s.ClientOptions()})
	defer k.Close()
	c, err := kms.NewKeyManagementClient(b.Context(), s.ClientOptions()...)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	payloads := make([]capgo.Payload, batch)
	for i := range payloads {
		payloads[i], err = capgo.ChecksumPayload(capgo.Digest{byte(i), byte(i >> 8)}, capgo.FormatHex)
		if err != nil {
			b.Fatal(err)
		}
	}
	parallel := []int{8, 16, 32}
	bare, ours := effort{never, never}, effort{never, never}
	for b.Loop() {
		ours.turn(b, func() error {
			_, err := k.Sign(b.Context(), payloads)
			return err
		})
		for _, n := range parallel {
			bare.turn(b, func() error { return signBare(b.Context(), c, n) })
		}
	}
	b.ReportMetric(batch/ours.clock.Seconds(), "signatures/s")
	b.ReportMetric(batch/bare.clock.Seconds(), "bare/s")
	b.ReportMetric(bare.clock.Seconds()/ours.clock.Seconds(), "ratio")
	b.ReportMetric(bare.cpu.Seconds()/ours.cpu.Seconds(), "cpu-ratio")
}

// effort is what the best turn of something took.
type effort struct{ clock, cpu time.Duration }

const never = time.Duration(math.MaxInt64)

func (e *effort) turn(b *testing.B, f func() error) {
	b.Helper()
	began, used := time.Now(), cpu(b)
	if err := f(); err != nil {
		b.Fatal(err)
	}
	e.clock = min(e.clock, time.Since(began))
	e.cpu = min(e.cpu, cpu(b)-used)
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// signBare signs a batch, n at once.
func signBare(ctx context.Context, c *kms.KeyManagementClient, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(n)
	for i := range batch {
		group.Go(func() error {
			_, err := c.AsymmetricSign(ctx, &kmspb.AsymmetricSignRequest{Name: name, Data: []byte{31: byte(i)}})
			return err
		})
	}
	return group.Wait()
}
