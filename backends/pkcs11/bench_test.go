package pkcs11_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	p11 "github.com/miekg/pkcs11"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
)

// BenchmarkSign compares, for so many callers with two payloads each, the module
// called in this process with what is left of it through the child. The two
// numbers to compare are those of "sig/s" with the same number of callers, in one
// run; "cpu-us/sig" (of both processes, the child's start included) is less
// disturbed by what else the machine does.
func BenchmarkSign(b *testing.B) {
	tk := softhsmtest.New(b)
	tk.GenerateKey("acme")
	for _, callers := range []int{1, 2, 8, 32} {
		b.Run(fmt.Sprintf("child/callers=%d", callers), func(b *testing.B) {
			before := cpuTime(b)
			benchmarkChild(b, tk, callers)
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(2*b.N), "cpu-us/sig")
		})
		b.Run(fmt.Sprintf("bare/callers=%d", callers), func(b *testing.B) {
			before := cpuTime(b)
			benchmarkBare(b, tk, callers)
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(2*b.N), "cpu-us/sig")
		})
	}
}

const benchSessions = 8

func benchPayloads(b *testing.B) []capgo.Payload {
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte("bundle")), capgo.FormatHex)
	if err != nil {
		b.Fatal(err)
	}
	return []capgo.Payload{p, capgo.SessionKeyPayload()}
}

// cpuTime is what this process and its ended children have used.
func cpuTime(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return sum
}

// callers runs call b.N times in all, from so many goroutines.
func callers(b *testing.B, n int, call func(caller int) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(g); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(2*b.N)/b.Elapsed().Seconds(), "sig/s")
}

func benchmarkChild(b *testing.B, tk *softhsmtest.Token, n int) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	m := pkcs11.NewModule(pkcs11.Config{
		ModulePath:   tk.ModulePath,
		Token:        uri.Token{Label: tk.Label},
		PIN:          uri.PINSource{Path: tk.PINFile},
		ChildCommand: []string{exe, childArg},
		Logger:       zap.NewNop(),
	})
	defer m.Close()
	k := m.Key(pkcs11.KeyOptions{Object: "acme", MaxSessions: benchSessions})
	defer k.Close()
	payloads := benchPayloads(b)
	if _, err := k.Sign(b.Context(), payloads); err != nil {
		b.Fatal(err)
	}
	callers(b, n, func(int) error {
		_, err := k.Sign(b.Context(), payloads)
		return err
	})
}

func benchmarkBare(b *testing.B, tk *softhsmtest.Token, n int) {
	ctx := p11.New(tk.ModulePath)
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	check(ctx.Initialize())
	defer func() { check(ctx.Finalize()) }()
	slots, err := ctx.GetSlotList(true)
	check(err)
	type session struct {
		handle p11.SessionHandle
		key    p11.ObjectHandle
	}
	pool := make(chan session, benchSessions)
	for i := range benchSessions {
		s, err := ctx.OpenSession(slots[0], p11.CKF_SERIAL_SESSION)
		check(err)
		if i == 0 {
			check(ctx.Login(s, p11.CKU_USER, softhsmtest.PIN))
		}
		check(ctx.FindObjectsInit(s, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY)}))
		keys, _, err := ctx.FindObjects(s, 1)
		check(err)
		check(ctx.FindObjectsFinal(s))
		pool <- session{s, keys[0]}
	}
	payloads := benchPayloads(b)
	mechanism := []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS, nil)}
	callers(b, n, func(int) error {
		for _, p := range payloads {
			material, err := p.Material(nil)
			if err != nil {
				return err
			}
			s := <-pool
			if err := ctx.SignInit(s.handle, mechanism, s.key); err != nil {
				return err
			}
			_, err = ctx.Sign(s.handle, material)
			pool <- s
			if err != nil {
				return err
			}
		}
		return nil
	})
}
