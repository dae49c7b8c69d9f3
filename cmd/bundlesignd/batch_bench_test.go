package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/opencryptokitest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
)

// batchSize is how many signatures one request of these benchmarks needs: a
// checksum, a session key, and the files of a delta update.
const batchSize = 5000

// batchRounds is how often both are measured in turns.
const batchRounds = 9

// The benchmarks of this file compare one large request to the daemon, from the
// socket to the verified answer in the log, with the same number of signatures
// made by the bare backend in the way that is best for it, in the same run and in
// turns; and then a single request with its two signatures. The bare program checks
// nothing and writes nothing down.
//
// A real HSM signs with a processor of its own. These take the time from the
// daemon's, so that its verification of each signature shows in the ratio even if
// nothing else does: the ceiling is what a daemon would reach that did only that,
// next to a backend that keeps all processors busy.

func BenchmarkBatchAgainstBareSoftHSM(b *testing.B) {
	tk := softhsmtest.New(b)
	pub := tk.GenerateKey("shop")
	bare := barePKCS11(b, provision.Token{Module: tk.ModulePath, Label: tk.Label, PIN: softhsmtest.PIN}, "shop")
	batchAgainst(b, benchConfigured(b, tk.URI("shop"), pub), nil, bare)
}

func BenchmarkBatchAgainstBareOpencryptoki(b *testing.B) {
	tk := opencryptokitest.New(b)
	pub := tk.GenerateKey(b, "shop")
	uri := fmt.Sprintf("pkcs11:token=%s;object=shop?module-path=%s&pin-source=%s", tk.Label, tk.Module, tk.PINFile)
	batchAgainst(b, benchConfigured(b, uri, pub), tk.Prefix, barePKCS11(b, tk.Token, "shop"))
}

func BenchmarkBatchAgainstBareVault(b *testing.B) {
	s := vaulttest.New(b)
	pub := s.CreateKey("shop")
	s.Policy("shop")
	file, token := s.Token(nil)
	uri := fmt.Sprintf("hashivault://transit/shop?version=1&address=%s&ca-file=%s&token-file=%s", s.Address, s.CAFile, file)
	batchAgainst(b, benchConfigured(b, uri, pub), nil, bareVault(b, s, token))
}

func BenchmarkBatchAgainstBareKMS(b *testing.B) {
	s := kmstest.NewTLS(b, func(token string) bool { return token != "" })
	b.Setenv("SSL_CERT_FILE", s.CAFile())
	const version = "projects/acme-prod/locations/europe-west3/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/1"
	pub, err := capgo.NewPublicKey(&s.Generate(version).PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	w := &ward{t: b, dir: b.TempDir()}
	account := w.write("account.json", w.account())
	b.Setenv("GOOGLE_APPLICATION_CREDENTIALS", account)
	uri := fmt.Sprintf("gcpkms://%s?endpoint=%s&credentials=%s", version, s.Addr(), account)
	batchAgainst(b, benchConfigured(b, uri, pub), nil, bareKMS(b, s.Addr(), version))
}

// configured makes a configuration with this key.
func benchConfigured(b *testing.B, uri string, pub *capgo.PublicKey) string {
	b.Helper()
	pem := filepath.Join(b.TempDir(), "pub.pem")
	if err := os.WriteFile(pem, []byte(pub.PEM()), 0o600); err != nil {
		b.Fatal(err)
	}
	dir := initialized(b, "--key-uri", uri, "--public-key", pem)
	raiseLimits(b, dir)
	return dir
}

// batchAgainst measures rounds of both. The prefix is the command that runs the
// daemon where the backend is, or nil.
func batchAgainst(b *testing.B, dir string, prefix []string, bare func(n int)) {
	cmd := bundlesignd("serve", "--config", filepath.Join(dir, "config.yaml"))
	if prefix != nil {
		env := cmd.Env
		cmd = exec.Command(prefix[0], append(append([]string{}, prefix[1:]...), cmd.Args...)...)
		cmd.Env = env
	}
	d := launchCommand(b, dir, cmd)
	d.ready()
	d.usable()
	release := 0
	batch := func() {
		release++
		sub := bundle(release)
		for i := range batchSize - 2 {
			sub.Files = append(sub.Files, wire.SubmitFile{FileName: fmt.Sprintf("assets/f%d.js", i), Digest: fmt.Sprintf("%064x", i+1)})
		}
		if _, err := d.client.SubmitAndWait(b.Context(), sub, ""); err != nil {
			b.Fatalf("%v\n%s", err, d.log.tail(20))
		}
	}
	bare(batchSize)
	batch()
	for b.Loop() { // once is enough: the rounds are inside
		var bareRate, batchRate, ratio []float64
		for range batchRounds {
			t0 := time.Now()
			bare(batchSize)
			t1 := time.Now()
			batch()
			x, y := batchSize/t1.Sub(t0).Seconds(), batchSize/time.Since(t1).Seconds()
			bareRate, batchRate, ratio = append(bareRate, x), append(batchRate, y), append(ratio, y/x)
		}
		b.ReportMetric(median(bareRate), "bare-sig/s")
		b.ReportMetric(median(batchRate), "batch-sig/s")
		b.ReportMetric(median(ratio), "batch/bare")
		b.ReportMetric(1/(1+verification(b).Seconds()*median(bareRate)/float64(runtime.GOMAXPROCS(0))), "ceiling")
		// A request of two signatures while nothing else is asked.
		bareTime := latencies(b, func(int) error { bare(2); return nil })
		singleTime := latencies(b, func(int) error {
			release++
			_, err := d.client.SubmitAndWait(b.Context(), bundle(release), "")
			return err
		})
		b.ReportMetric(percentile(bareTime, 50), "bare-p50-ms")
		b.ReportMetric(percentile(bareTime, 99), "bare-p99-ms")
		b.ReportMetric(percentile(singleTime, 50), "single-p50-ms")
		b.ReportMetric(percentile(singleTime, 99), "single-p99-ms")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}

// verification measures how long it takes to verify one signature.
func verification(b *testing.B) time.Duration {
	b.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	pub, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	payload, err := capgo.ChecksumPayload(capgo.Digest{1}, capgo.FormatHex)
	if err != nil {
		b.Fatal(err)
	}
	material, err := payload.Material(nil)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := rsa.SignPKCS1v15(nil, private, 0, material)
	if err != nil {
		b.Fatal(err)
	}
	signature, err := capgo.NewSignature(raw)
	if err != nil {
		b.Fatal(err)
	}
	const times = 5000
	begin := time.Now()
	for range times {
		if err := pub.Verify(payload, signature); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin) / times
}

// barePKCS11 is the module in a process of its own, like the daemon's child but
// without anything around it, see barePKCS11Main.
func barePKCS11(b *testing.B, tk provision.Token, object string) func(n int) {
	b.Helper()
	return bareProcess(b, append(append([]string{}, tk.Prefix...), os.Args[0], barePKCS11Arg, tk.Module, tk.Label, tk.PIN, object))
}

// bareKMS is the service's own client in a process of its own, as the daemon is
// one, see bareKMSMain.
func bareKMS(b *testing.B, addr, version string) func(n int) {
	b.Helper()
	return bareProcess(b, []string{os.Args[0], bareKMSArg, addr, version})
}

// bareProcess starts a process that serves serveBare.
func bareProcess(b *testing.B, argv []string) func(n int) {
	b.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReader(out)
	return func(n int) {
		if _, err := fmt.Fprintln(in, n); err != nil {
			b.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		if err != nil || line != strconv.Itoa(n)+"\n" {
			b.Fatalf("the bare backend answered %q, %v", line, err)
		}
	}
}

// bareVault asks as many at once as were best in package backends/vault's own
// benchmark.
func bareVault(b *testing.B, s *vaulttest.Server, token string) func(n int) {
	b.Helper()
	const size, atOnce = 256, 4
	config := api.DefaultConfig()
	config.Address = s.Address
	if err := config.ConfigureTLS(&api.TLSConfig{CACert: s.CAFile}); err != nil {
		b.Fatal(err)
	}
	config.HttpClient.Transport.(*http.Transport).MaxIdleConnsPerHost = atOnce
	c, err := api.NewClient(config)
	if err != nil {
		b.Fatal(err)
	}
	c.SetToken(token)
	c.SetClientTimeout(0) // which would end a raw request before its answer is read
	b.Cleanup(config.HttpClient.CloseIdleConnections)
	items := make([]map[string]string, size)
	for i := range items {
		items[i] = map[string]string{"input": base64.StdEncoding.EncodeToString(make([]byte, 32))}
	}
	return func(n int) {
		group, ctx := errgroup.WithContext(b.Context())
		group.SetLimit(atOnce)
		for left := n; left > 0; left -= size {
			group.Go(func() error {
				body, err := json.Marshal(map[string]any{
					"prehashed": true, "signature_algorithm": "pkcs1v15", "hash_algorithm": "none", "batch_input": items[:min(size, left)],
				})
				if err != nil {
					return err
				}
				answer, err := c.Logical().WriteRawWithContext(ctx, "transit/sign/shop", body)
				if err != nil {
					return err
				}
				defer answer.Body.Close()
				var discard any
				return answer.DecodeJSON(&discard)
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
