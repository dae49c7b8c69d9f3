package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
)

// BenchmarkDeltaAgainstNode compares `bundlesign sign --delta`, with a key in a
// SoftHSM token and the encrypted zip made as well, with a Node.js script that does
// what the official CLI does for a delta update with a key in a file. An app has
// 2,000 files of 40 MB: of its bytes, 85 % are scripts and 15 % are random, as
// images are. It reports medians of rounds that follow each other: the time of
// each, the rounds' ratio of times, and the ratios of the stored bytes and of the
// most memory that a process had. Below 1 is less than Node.js.
func BenchmarkDeltaAgainstNode(b *testing.B) {
	const rounds = 3
	token := softhsmtest.New(b)
	public := token.GenerateKey("bench")
	d := startDaemon(b, keySource{uri: token.URI("bench"), public: public})
	dir := b.TempDir()
	dist := filepath.Join(dir, "www")
	writeLargeApp(b, dist)
	private := filepath.Join(dir, "private.pem")
	if out, err := exec.Command("openssl", "genrsa", "-traditional", "-out", private, "2048").CombinedOutput(); err != nil {
		b.Fatalf("openssl genrsa: %v\n%s", err, out)
	}
	script, err := filepath.Abs("testdata/cli-delta.mjs")
	if err != nil {
		b.Fatal(err)
	}
	peak := buildPeak(b)
	ours := func(round int) (sample, int64) {
		s, out := measureApart(b, peak, programs.client, "--socket", d.socket, "sign", dist+"/", "--app", appID, "--channel", "production",
			"--version", fmt.Sprintf("1.0.%d", round), "--delta", "--output", filepath.Join(dir, "ours")+"/", "--json")
		var result struct {
			Delta struct{ Bytes int64 }
		}
		if err := json.Unmarshal(out, &result); err != nil || result.Delta.Bytes == 0 {
			b.Fatalf("bundlesign sign printed %q (%v)", out, err)
		}
		return s, result.Delta.Bytes
	}
	theirs := func() (sample, int64) {
		s, out := measureApart(b, peak, cli.node, script, private, dist, filepath.Join(dir, "theirs"))
		n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return s, n
	}
	for round := 0; b.Loop(); round += rounds { // once is enough: the rounds are inside
		var us, them, ratio, memory, size []float64
		for i := range rounds {
			u, our := ours(round + i)
			t, their := theirs()
			us, them, ratio = append(us, u.seconds), append(them, t.seconds), append(ratio, u.seconds/t.seconds)
			memory, size = append(memory, u.memory/t.memory), append(size, float64(our)/float64(their))
		}
		b.ReportMetric(median(us), "s")
		b.ReportMetric(median(them), "node-s")
		b.ReportMetric(median(ratio), "time/node")
		b.ReportMetric(median(size), "size/node")
		b.ReportMetric(median(memory), "memory/node")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}

// sample is what a process needed.
type sample struct {
	seconds float64 // of wall time
	memory  float64 // the most it had, in KiB
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// writeLargeApp makes an app of 2,000 files of different sizes around 20 kB, the
// same each time: pieces of the scripts that scripts/install-deps installed, and
// random bytes.
func writeLargeApp(b *testing.B, dist string) {
	b.Helper()
	const files, total = 2000, 40_000_000
	var scripts bytes.Buffer
	err := filepath.WalkDir("node_modules", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && slices.Contains([]string{".js", ".mjs", ".cjs"}, filepath.Ext(path)) {
			var data []byte
			if data, err = os.ReadFile(path); err == nil {
				scripts.Write(data)
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	dice := rand.New(random)
	sizes, sum := make([]int, files), 0
	for i := range sizes {
		sizes[i] = 1000 + int(dice.ExpFloat64()*19_000)
		sum += sizes[i]
	}
	for _, name := range []string{"js", "img"} {
		if err := os.MkdirAll(filepath.Join(dist, name), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dist, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write("index.html", []byte(`<script src="js/0.js"></script>`))
	write("js/start.js", []byte("CapacitorUpdater.notifyAppReady()"))
	for i, size := range sizes[2:] {
		size = size * total / sum
		if i%20 < 3 {
			data := make([]byte, size)
			_, _ = random.Read(data) // never fails
			write(fmt.Sprintf("img/%d.png", i), data)
			continue
		}
		if scripts.Len() < size {
			b.Fatalf("found too few scripts in node_modules; %s", howToInstall)
		}
		write(fmt.Sprintf("js/%d.js", i), scripts.Next(size))
	}
}
