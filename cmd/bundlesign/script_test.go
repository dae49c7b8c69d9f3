package main

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/client/clienttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bundlesign": main})
}

// TestScripts runs bundlesign as its users type it, against a daemon that lies
// on order where the script says "fake".
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", nil) }

// runScripts gives scripts what the official CLI made ($OFFICIAL), the digests of
// its plain bundle ($DIGEST) and of [smallBundle] ($APPDIGEST), and the key of a
// log that is not the daemon's ($OTHERKEY). An app.zip with the line "PK pretend
// bundle" becomes that bundle: a zip is no text. It adds to the commands of
// testscript:
//
//	code N COMMAND...   run COMMAND and want exit code N
//	fake VERB ...       see fakeCommand
//	fileenv NAME FILE   put the first line of FILE into a variable
//	exactly FILES...    the current folder holds these files and no others
//	flip FILE           flip a bit in the middle of a file
//	poll FILE           wait until a file is there
//	dialogue N FILE ... run a command at a terminal, see dialogueCommand
func runScripts(t *testing.T, dir string, setup func(*testscript.Env) error) {
	official, err := filepath.Abs("testdata/official")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(filepath.Join(official, "app.zip"))
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := note.GenerateKey(rand.Reader, "fake.example/log")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("OFFICIAL", official)
			env.Setenv("DIGEST", fmt.Sprintf("%x", sha256.Sum256(plain)))
			env.Setenv("APPDIGEST", fmt.Sprintf("%x", sha256.Sum256(smallBundle())))
			env.Setenv("OTHERKEY", otherKey)
			env.Values[fakeKey{}] = new(*clienttest.FakeDaemon)
			if err := makeBundle(filepath.Join(env.WorkDir, "app.zip")); err != nil {
				return err
			}
			if setup != nil {
				return setup(env)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":     codeCommand,
			"fake":     fakeCommand,
			"fileenv":  fileenvCommand,
			"exactly":  exactlyCommand,
			"flip":     flipCommand,
			"poll":     pollCommand,
			"dialogue": dialogueCommand,
		},
	})
}

// smallBundle is the zip of an app that a phone would start.
func smallBundle() []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range [][2]string{{"index.html", "<script src=app.js></script>"}, {"app.js", "CapacitorUpdater.notifyAppReady()"}} {
		part, err := w.CreateRaw(&zip.FileHeader{
			Name: f[0], CRC32: crc32.ChecksumIEEE([]byte(f[1])), CompressedSize64: uint64(len(f[1])), UncompressedSize64: uint64(len(f[1])),
		})
		if err == nil {
			_, err = io.WriteString(part, f[1])
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// makeBundle puts [smallBundle] where a script has its stand-in.
func makeBundle(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && string(text) != "PK pretend bundle\n" {
		return nil
	}
	return errors.Join(err, os.WriteFile(path, smallBundle(), 0o644))
}

func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	found := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		found = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if found != want {
		ts.Fatalf("found exit code %d, want %d", found, want)
	}
}

type fakeKey struct{}

// fakeCommand starts and changes the script's fake daemon. "start" puts its
// public key into public.pem and names socket and log key in variables; "key NAME
// FILE" writes another of its public keys, to a .json as a capacitor.config; "set"
// gives it the faults that the flags say and no others.
func fakeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fake start|set|stop|again|grow|rewrite|key [FLAGS]")
	}
	daemon := ts.Value(fakeKey{}).(**clienttest.FakeDaemon)
	faults, rest := parseFaults(ts, args[1:])
	d := *daemon
	switch args[0] {
	case "start":
		d, err := clienttest.NewFakeDaemon(ts.MkAbs("fake.sock"), faults)
		ts.Check(err)
		ts.Check(d.Start())
		ts.Defer(d.Stop)
		*daemon = d
		ts.Setenv("BUNDLESIGN_SOCKET", d.Socket())
		ts.Setenv("LOGKEY", d.LogKey())
		ts.Check(os.WriteFile(ts.MkAbs("public.pem"), []byte(d.PublicKey().PEM()), 0o644))
	case "set":
		d.SetFaults(faults)
	case "stop":
		d.Stop()
	case "again":
		ts.Check(d.Start())
	case "grow":
		n, err := strconv.Atoi(rest[0])
		ts.Check(err)
		d.Grow(n)
	case "rewrite":
		d.Rewrite()
	case "key":
		text := d.PublicKeyOf(rest[0]).PEM()
		if strings.HasSuffix(rest[1], ".json") {
			text = fmt.Sprintf(`{"plugins": {"CapacitorUpdater": {"publicKey": %q}}}`, text)
		}
		ts.Check(os.WriteFile(ts.MkAbs(rest[1]), []byte(text), 0o644))
	default:
		ts.Fatalf("fake: there is no %q", args[0])
	}
}

func parseFaults(ts *testscript.TestScript, args []string) (f clienttest.Faults, rest []string) {
	fs := flag.NewFlagSet("fake", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar((*string)(&f.Lie), "lie", "", "")
	fs.IntVar(&f.Busy, "busy", 0, "")
	fs.IntVar(&f.Drop, "drop", 0, "")
	fs.BoolVar(&f.Deny, "deny", false, "")
	fs.IntVar(&f.Polls, "polls", 0, "")
	fs.StringVar(&f.End, "end", "", "")
	fs.BoolVar(&f.Junk, "junk", false, "")
	statement := fs.String("statement", "", "a file with what people are to sign")
	grow := fs.String("append-to", "", "a file that gets longer with each submission")
	touch := fs.String("touch", "", "a file to make at a submission")
	ts.Check(fs.Parse(args))
	if f.Lie != "" && !slices.Contains(append(clienttest.Lies(), clienttest.AlsoLies()...), f.Lie) {
		ts.Fatalf("fake: there is no lie %q", f.Lie)
	}
	if *statement != "" {
		f.Statement = ts.ReadFile(*statement)
	}
	if *grow+*touch != "" {
		name := ts.MkAbs(*grow + *touch)
		f.OnSubmit = func() {
			file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err == nil {
				_, err = file.WriteString("more")
				err = errors.Join(err, file.Close())
			}
			if err != nil {
				panic(fmt.Sprintf("fake: %v", err))
			}
		}
	}
	return f, fs.Args()
}

func fileenvCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fileenv NAME FILE")
	}
	text := ts.ReadFile(args[1])
	for i, c := range text {
		if c == '\n' {
			text = text[:i]
			break
		}
	}
	ts.Setenv(args[0], text)
}

func exactlyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! exactly")
	}
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	var found []string
	for _, e := range entries {
		if e.Name() != ".tmp" && e.Name() != "fake.sock" && e.Name() != "public.pem" {
			found = append(found, e.Name())
		}
	}
	slices.Sort(args)
	if !slices.Equal(found, args) {
		ts.Fatalf("found the files %q, want %q", found, args)
	}
}

func flipCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	data := []byte(ts.ReadFile(args[0]))
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

func pollCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: poll FILE")
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("%s did not appear in 30 s", args[0])
		case <-tick.C:
		}
	}
}
