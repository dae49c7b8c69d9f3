package main

import (
	"context"
	"crypto/rsa"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// The benchmarks compare the daemon with the bare key in the same run: rounds of
// both follow each other, so that what else the machine does disturbs both, and
// the median of the rounds' ratios is reported. One request is two uses of the
// key: checksum and session key.
const (
	benchClients = 8
	benchRounds  = 5
	benchRound   = 1500 * time.Millisecond
	idleRequests = 400
)

// bareKey uses the key as directly as can be, once for each of a request's
// payloads.
type bareKey func(worker int) error

func BenchmarkSocketAgainstBareFile(b *testing.B) {
	dir := initialized(b)
	raiseLimits(b, dir)
	key := file.Open(filepath.Join(dir, "acme-shop.key.pem"))
	payloads := requestPayloads(b)
	against(b, dir, func(int) error {
		_, err := key.Sign(b.Context(), payloads)
		return err
	})
}

func BenchmarkSocketAgainstBareSoftHSM(b *testing.B) {
	tk := softhsmtest.New(b)
	pub := tk.GenerateKey("acme-shop")
	pem := filepath.Join(b.TempDir(), "pub.pem")
	if err := os.WriteFile(pem, []byte(pub.PEM()), 0o600); err != nil {
		b.Fatal(err)
	}
	dir := initialized(b, "--key-uri", tk.URI("acme-shop"), "--public-key", pem)
	raiseLimits(b, dir)
	against(b, dir, bareSoftHSM(b, tk, pub.RSA()))
}

func raiseLimits(b *testing.B, dir string) {
	edit(b, dir, "requests_per_second: 200", "requests_per_second: 100000")
	edit(b, dir, "burst: 400", "burst: 100000")
	edit(b, dir, "level: info", "level: warn")
}

func requestPayloads(b *testing.B) []capgo.Payload {
	p, err := capgo.ChecksumPayload(capgo.Digest{1}, capgo.FormatHex)
	if err != nil {
		b.Fatal(err)
	}
	return []capgo.Payload{p, capgo.SessionKeyPayload()}
}

// bareSoftHSM loads the module into this process, with a session a worker.
func bareSoftHSM(b *testing.B, tk *softhsmtest.Token, pub *rsa.PublicKey) bareKey {
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	m := p11.New(tk.ModulePath)
	check(m.Initialize())
	b.Cleanup(func() {
		_ = m.Finalize()
		m.Destroy()
	})
	slots, err := m.GetSlotList(true)
	check(err)
	var sessions [benchClients]p11.SessionHandle
	var key p11.ObjectHandle
	for i := range sessions {
		sessions[i], err = m.OpenSession(slots[0], p11.CKF_SERIAL_SESSION)
		check(err)
		if i == 0 {
			check(m.Login(sessions[0], p11.CKU_USER, softhsmtest.PIN))
			check(m.FindObjectsInit(sessions[0], []*p11.Attribute{
				p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), p11.NewAttribute(p11.CKA_MODULUS, pub.N.Bytes()),
			}))
			found, _, err := m.FindObjects(sessions[0], 2)
			check(err)
			check(m.FindObjectsFinal(sessions[0]))
			if len(found) != 1 {
				b.Fatalf("found %d keys", len(found))
			}
			key = found[0]
		}
	}
	mechanism := []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS, nil)}
	digest, aes := make([]byte, 32), make([]byte, 16)
	return func(worker int) error {
		for _, payload := range [][]byte{digest, aes} {
			if err := m.SignInit(sessions[worker], mechanism, key); err != nil {
				return err
			}
			if _, err := m.Sign(sessions[worker], payload); err != nil {
				return err
			}
		}
		return nil
	}
}

// against measures throughput with benchClients clients, and the time of one
// request while nothing else is asked.
func against(b *testing.B, dir string, bare bareKey) {
	d := startDaemon(b, dir)
	d.usable()
	var next atomic.Int64
	socket := func(int) error {
		_, err := d.client.SubmitAndWait(b.Context(), bundle(int(next.Add(1))), "")
		return err
	}
	for b.Loop() { // once is enough: the rounds are inside
		var bareRate, socketRate, ratio []float64
		for range benchRounds {
			r, s := rate(b, bare), rate(b, socket)
			bareRate, socketRate, ratio = append(bareRate, r), append(socketRate, s), append(ratio, s/r)
		}
		bareTime, socketTime := latencies(b, bare), latencies(b, socket)
		b.ReportMetric(median(bareRate), "bare-req/s")
		b.ReportMetric(median(socketRate), "socket-req/s")
		b.ReportMetric(median(ratio), "socket/bare")
		b.ReportMetric(percentile(bareTime, 50), "bare-p50-ms")
		b.ReportMetric(percentile(bareTime, 99), "bare-p99-ms")
		b.ReportMetric(percentile(socketTime, 50), "socket-p50-ms")
		b.ReportMetric(percentile(socketTime, 99), "socket-p99-ms")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}

// rate is requests a second with all clients at work.
func rate(b *testing.B, request func(int) error) float64 {
	var n atomic.Int64
	ctx, cancel := context.WithTimeout(b.Context(), benchRound)
	defer cancel()
	start := time.Now()
	var wg sync.WaitGroup
	for w := range benchClients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := request(w); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

// latencies are the times of single requests in milliseconds, in rising order.
func latencies(b *testing.B, request func(int) error) []float64 {
	out := make([]float64, idleRequests)
	for i := range out {
		start := time.Now()
		if err := request(0); err != nil {
			b.Fatal(err)
		}
		out[i] = float64(time.Since(start).Microseconds()) / 1000
	}
	slices.Sort(out)
	return out
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func percentile(sorted []float64, p int) float64 { return sorted[(len(sorted)-1)*p/100] }
