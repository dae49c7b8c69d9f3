package webapp_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

// goldenDigest is the SHA-256 of the zip of [golden].
const goldenDigest = "e2d0c56b9b36f7b05831e9eadfa4f110ef447a978c30c02497a94fa249c889b9"

const goldenHelp = `the zip of the same files is another one than before.
This is a break for users: a second person with another release of bundlesign cannot
compare digests. If it was not meant, undo it. If it was, because a new version of
github.com/klauspost/compress gives other bytes and is needed, say so in CHANGELOG.md
("digests of folders change"), then put the new digest here. If it fails on one kind of
processor only, the compressor is not deterministic there, and must not be released`

// golden has a file for each way in which a file is packed, and enough of each for the
// compressor to take all of its decisions.
func golden() tree {
	r := random(0x9E3779B97F4A7C15)
	return tree{
		"index.html":             []byte("<!doctype html><title>golden</title>"),
		"empty.txt":              nil,
		"one byte":               {'x'},
		"assets/main.js":         r.script(600_000),
		"assets/large.js":        bytes.Repeat(r.script(64<<10), 33), // compressed while it is written
		"assets/photo.jpg":       r.noise(200_000),                   // stored
		"assets/half.bin":        append(r.noise(70_000), make([]byte, 70_000)...),
		"assets/größe-日本.json":   r.script(9_000),
		"assets/repeat.svg":      bytes.Repeat([]byte("<path d='M0 0L1 1'/>"), 5_000),
		"a-b":                    r.script(100),
		"a/b":                    r.script(1_000),
		"a/limit.js":             r.script(64 << 10),
		"very/deep/in/it/x.json": r.script(300),
	}
}

func TestGoldenDigest(t *testing.T) {
	found := fmt.Sprintf("%x", sha256.Sum256(pack(t, open(t, golden().write(t)))))
	if found != goldenDigest {
		t.Errorf("found the digest %s, want %s: %s", found, goldenDigest, goldenHelp)
	}
}
