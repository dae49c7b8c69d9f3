package interop

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// BenchmarkZipAgainstOfficialCLI compares `bundlesign sign`, with a key in a SoftHSM
// token behind the daemon's socket, with `npx @capgo/cli bundle encrypt` and a key in a
// file, for a zip of 100 MB. Most of it is random, as images are, and the rest scripts. It
// reports medians of rounds that follow each other: the time of each, the rounds' ratio
// of times, and that of the most memory that a process had. Below 1 is less than the
// official CLI; the bars are 1 and 0.2. The official CLI is run by node, without what npx
// adds, and is given the digest, which it does not compute; bundlesign also hashes the bundle,
// looks into it for what phones would not like, and waits until the result is on disk.
func BenchmarkZipAgainstOfficialCLI(b *testing.B) {
	const rounds = 5
	token := softhsmtest.New(b)
	public := token.GenerateKey("bench")
	d := startDaemon(b, keySource{uri: token.URI("bench"), public: public})
	p := newProject(b, updaterOf[capgo.FormatHex], nil)
	private, _ := p.createKey(b)
	name, digest := writeLargeZip(b, p)
	pem := filepath.Join(b.TempDir(), "public.pem")
	if err := os.WriteFile(pem, []byte(public.PEM()), 0o644); err != nil {
		b.Fatal(err)
	}

	peak := buildPeak(b)
	ours := func(round int) sample {
		s, _ := measureApart(b, peak, programs.client, "--socket", d.socket, "sign", name, "--app", appID, "--channel", "production",
			"--version", fmt.Sprintf("1.0.%d", round), "--public-key", pem, "--output", filepath.Join(p.dir, "ours.zip"), "--json")
		return s
	}
	theirs := func() sample {
		// env -C: in the project's folder, and with nothing of this process but PATH.
		s, _ := measureApart(b, peak, "env", "-i", "-C", p.dir, "PATH="+os.Getenv("PATH"), "HOME="+p.dir, "CAPGO_DISABLE_TELEMETRY=1", "CI=1", "NO_COLOR=1",
			cli.node, "--require", cli.airgap, cli.script, "bundle", "encrypt", name, digest, "--key", private, "--json")
		return s
	}
	for round := 0; b.Loop(); round += rounds { // once is enough: the rounds are inside
		var us, them, ratio, mine, memory []float64
		for i := range rounds {
			u, t := ours(round+i), theirs()
			us, them, ratio = append(us, u.seconds), append(them, t.seconds), append(ratio, u.seconds/t.seconds)
			mine, memory = append(mine, u.memory/1024), append(memory, u.memory/t.memory)
		}
		b.ReportMetric(median(us), "s")
		b.ReportMetric(median(them), "capgo-s")
		b.ReportMetric(median(ratio), "time/capgo")
		b.ReportMetric(median(mine), "MiB")
		b.ReportMetric(median(memory), "memory/capgo")
	}
	b.ReportMetric(0, "ns/op") // meaningless here
}

// buildPeak builds the program that measures others.
func buildPeak(b *testing.B) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "peak")
	if out, err := exec.Command("go", "build", "-o", name, "./testdata/peak").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return name
}

// measureApart measures a program that a small process starts.
func measureApart(b *testing.B, peak string, args ...string) (s sample, stdout []byte) {
	b.Helper()
	note := filepath.Join(b.TempDir(), "note")
	cmd := exec.Command(peak, append([]string{note}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v\n%s", args[0], err, stderr.String())
	}
	text, err := os.ReadFile(note)
	if err == nil {
		_, err = fmt.Sscan(string(text), &s.seconds, &s.memory)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s, stdout
}

// writeLargeZip packs an app of 85 files with a megabyte of random bytes each, and of
// scripts that make up for the rest of 100 MB. It returns the zip's path and digest.
func writeLargeZip(b *testing.B, p *project) (name, digest string) {
	b.Helper()
	dist, random := filepath.Join(p.dir, "www"), rand.NewChaCha8([32]byte{2})
	writeLargeApp(b, dist) // 40 MB, of which the zip has about 15
	for i := range 85 {
		data := make([]byte, 1_000_000)
		_, _ = random.Read(data) // never fails
		p.write(b, fmt.Sprintf("www/img/large%d.jpg", i), data)
	}
	name = p.path("app.zip")
	if out, err := exec.Command(programs.client, "pack", dist, "--output", name).CombinedOutput(); err != nil {
		b.Fatalf("bundlesign pack: %v\n%s", err, out)
	}
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		b.Fatal(err)
	}
	if size < 95e6 || size > 105e6 {
		b.Fatalf("the zip has %d bytes, want about 100 MB", size)
	}
	return name, fmt.Sprintf("%x", h.Sum(nil))
}
