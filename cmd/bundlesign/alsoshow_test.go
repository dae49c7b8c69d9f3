package main

import (
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

func TestShowHasTheResultOfEachKey(t *testing.T) {
	sig := &wire.Signature{
		ID: "r1", State: "signed", Version: "1.4.0", Key: "old", KeyID: "MIIold", ChecksumFormat: "legacy", Checksum: "checksum-old", SessionKey: "iv:old",
		Also: []wire.KeyResult{{
			Key: "new\x1b[2J", KeyID: "MIInew", ChecksumFormat: "hex", Checksum: "checksum-new", SessionKey: "iv:new",
			Custody: &wire.Custody{Level: "never-extractable", Backend: "pkcs11"},
		}},
	}
	text := describeRequest(sig)
	if strings.Contains(text, "\x1b") {
		t.Errorf("what a terminal obeys is printed: %q", text)
	}
	at := 0
	for _, want := range []string{
		"also key", "MIInew, checksum format hex, custody never-extractable (pkcs11)",
		"to apps that carry key old (MIIold):\n", "checksum-old", "iv:old", "to apps that carry key new", "checksum-new", "iv:new",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("found no %q in its place:\n%s", want, text)
		}
		at += i
	}
	sig.State = "pending"
	if text := describeRequest(sig); !strings.Contains(text, "also key") || strings.Contains(text, "checksum-new") {
		t.Errorf("while it waits:\n%s", text)
	}
}

func TestLogTableNamesEveryKeyOfASignature(t *testing.T) {
	entry, err := (&audit.Leaf{Type: audit.LeafSigned, Request: "r1", Key: "old", Also: []audit.AlsoKey{{Key: "new"}, {Key: "newest"}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if text := entryTable(0, [][]byte{entry}); !strings.Contains(text, "keys old, new, newest") {
		t.Errorf("found\n%s", text)
	}
}
