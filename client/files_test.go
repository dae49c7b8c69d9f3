package client

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

func twoFiles() []wire.File {
	return []wire.File{
		{FileName: "index.html", Digest: strings.Repeat("1", 64)},
		{FileName: "main.js", Digest: strings.Repeat("2", 64)},
	}
}

// bound is the line of a statement, made here as docs/policy.md describes it.
func bound(files []wire.File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %s\n", f.Digest, f.FileName)
	}
	return fmt.Sprintf("files: %d, sha256:%x\n", len(files), h.Sum(nil))
}

func TestCheckFiles(t *testing.T) {
	const head = ApprovalTitle + "\nrequest: r\n"
	other := twoFiles()
	other[1].Digest = strings.Repeat("3", 64)
	renamed := twoFiles()
	renamed[1].FileName = "other.js"
	swapped := []wire.File{twoFiles()[1], twoFiles()[0]}
	twice := append(twoFiles(), twoFiles()[0])
	// One name that looks like two lines.
	fused := []wire.File{{FileName: "index.html\n" + strings.Repeat("2", 64) + " main.js", Digest: strings.Repeat("1", 64)}}
	for _, tc := range []struct {
		name      string
		files     []wire.File
		statement string
		good      bool
	}{
		{"none", nil, head, true},
		{"those of the statement", twoFiles(), head + bound(twoFiles()), true},
		{"another digest", other, head + bound(twoFiles()), false},
		{"another name", renamed, head + bound(twoFiles()), false},
		{"another order", swapped, head + bound(twoFiles()), false},
		{"one less", twoFiles()[:1], head + bound(twoFiles()), false},
		{"none, but the statement has some", nil, head + bound(twoFiles()), false},
		{"some, but the statement has none", twoFiles(), head, false},
		{"some, and the statement says it twice", twoFiles(), head + bound(twoFiles()) + bound(twoFiles()), false},
		{"one of them twice", twice, head + bound(twice), false},
		{"two in one", fused, head + bound(twoFiles()), false},
		{"what is no digest", []wire.File{{FileName: "x", Digest: "0"}}, head + bound([]wire.File{{FileName: "x", Digest: "0"}}), false},
	} {
		err := CheckFiles(&wire.Signature{ID: "r", State: StatePending, Files: tc.files, Statement: tc.statement})
		var lie *UntrustedError
		if tc.good && err != nil || !tc.good && !errors.As(err, &lie) {
			t.Errorf("%s: found %v", tc.name, err)
		}
	}
}

// The list of files of a release is the one that its entry in the log binds.
func TestCheckSignedFiles(t *testing.T) {
	d, err := clienttest.NewFakeDaemon(filepath.Join(t.TempDir(), "s"), clienttest.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	c := New(d.Socket())
	defer c.Close()
	signed := func(lie clienttest.Lie, version string, files ...wire.SubmitFile) *wire.Signature {
		d.SetFaults(clienttest.Faults{Lie: lie})
		sub := &wire.Submit{AppID: "com.example.app", Channel: "production", Version: version, Digest: strings.Repeat("a", 64), Files: files}
		sig, err := c.Submit(t.Context(), sub, "")
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	if err := CheckSignedFiles(signed("", "1.0.0"), logKeyOf(t, d)); err != nil {
		t.Errorf("an honest answer: %v", err)
	}
	var lie *UntrustedError
	for i, l := range []clienttest.Lie{clienttest.ReceiptMissing, clienttest.ReceiptEdited, clienttest.ReceiptOfOther, clienttest.ReceiptNotSigned, clienttest.ReceiptOtherLog, clienttest.OtherDigest, clienttest.OtherApp} {
		if err := CheckSignedFiles(signed(l, fmt.Sprintf("1.1.%d", i)), logKeyOf(t, d)); !errors.As(err, &lie) {
			t.Errorf("%s: found %v", l, err)
		}
	}
	withFiles := signed("", "1.2.0", wire.SubmitFile{FileName: "x", Digest: strings.Repeat("1", 64)})
	if err := CheckSignedFiles(withFiles, logKeyOf(t, d)); err != nil {
		t.Errorf("an honest list of files: %v", err)
	}
	for name, lies := range map[string]func(){
		"another name":   func() { withFiles.Files[0].FileName = "y" },
		"another digest": func() { withFiles.Files[0].Digest = strings.Repeat("2", 64) },
		"no files":       func() { withFiles.Files = nil },
	} {
		honest := []wire.File{{FileName: "x", Digest: strings.Repeat("1", 64)}}
		withFiles.Files = honest
		lies()
		if err := CheckSignedFiles(withFiles, logKeyOf(t, d)); !errors.As(err, &lie) || lie.Part != "files" {
			t.Errorf("%s: found %v", name, err)
		}
	}
}
