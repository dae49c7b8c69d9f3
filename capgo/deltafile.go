package capgo

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// brotliSuffix behind a file_name tells a phone to decompress the file and to drop
// the suffix.
const brotliSuffix = ".br"

// maxFileName is the longest file_name in bytes: iOS opens no longer paths
// (PATH_MAX).
const maxFileName = 1024

// The longest folder and file in a name, in bytes. A phone keeps the file in its
// cache, too, first as "HASH_file.UUID.tmp", which its file system must take.
const (
	maxFolderName = 255
	maxBaseName   = 255 - (64 + len("_") + len(".") + 36 + len(".tmp"))
)

// FileName returns the file_name of a file that is stored compressed with Brotli,
// or as it is. Every name that ends in ".br" is taken for a compressed file by
// phones, so there is no name for such a file stored as it is.
func FileName(name string, brotli bool) (string, error) {
	if brotli {
		return name + brotliSuffix, nil
	}
	if strings.HasSuffix(name, brotliSuffix) {
		return "", fmt.Errorf("%.100q ends in %s and is not compressed: a phone would decompress it", name, brotliSuffix)
	}
	return name, nil
}

// Target returns where a phone puts the file, relative to the app, and whether it
// decompresses it first.
func (e ManifestEntry) Target() (name string, brotli bool) {
	return strings.CutSuffix(e.FileName, brotliSuffix)
}

// ValidFileName says what is wrong with a file_name, if anything. It refuses what
// phones refuse, which is everything that could lead out of the app's folder, and
// what means one place in several spellings or cannot be told in JSON. A space is
// no reason: phones take it; only the official CLI does not, see [ValidPlainName].
func ValidFileName(name string) error {
	place := strings.TrimSuffix(name, brotliSuffix)
	switch {
	case name == "":
		return errors.New("found none")
	case len(name) > maxFileName:
		return fmt.Errorf("found a name of %d bytes, want at most %d", len(name), maxFileName)
	case !utf8.ValidString(name):
		return fmt.Errorf("found %.100q, which is not UTF-8", name)
	case place == "" || strings.HasSuffix(place, "/"):
		return fmt.Errorf("found %.100q, which names no file", name)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("found %.100q, an absolute path: phones refuse it", name)
	case strings.Contains(name, `\`):
		return fmt.Errorf(`found %.100q with a \ in it: phones refuse it`, name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("found %.100q with a control character in it", name)
	}
	for part := range strings.SplitSeq(place, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return fmt.Errorf("found %.100q with a part %q in it, want a plain path inside of the app", name, part)
		case len(part) > maxFolderName:
			return fmt.Errorf("found %.100q with a part of %d bytes, want at most %d", name, len(part), maxFolderName)
		}
	}
	if _, base, _ := cutLast(place); len(base) > maxBaseName {
		return fmt.Errorf("found %.100q, a file whose name has %d bytes, want at most %d: phones keep it with its hash before it", name, len(base), maxBaseName)
	}
	return nil
}

// ValidPlainName says why a file of this name, relative to the app, cannot be in a
// delta update, if so. It is [ValidFileName] and the official CLI's own rule that
// a name has no space: the addresses that it makes of names would not work.
func ValidPlainName(name string) error {
	if err := ValidFileName(name + brotliSuffix); err != nil {
		return err
	}
	if strings.Contains(name, " ") {
		return fmt.Errorf("found %.100q with a space in it: delta updates cannot have it; rename the file", name)
	}
	return nil
}

// leftOut are the names of files and folders that no delta update has.
var leftOut = []string{".DS_Store", ".git", ".gitignore", "node_modules", "package-lock.json"}

// InDelta reports whether a file of this name, relative to the app, and size in
// bytes is part of a delta update, and if not, why. An empty file is not: phones
// refuse to decrypt to nothing. What else is left out is what the official CLI
// leaves out, with one difference. That looks for the names anywhere in the path
// of a file, the folders above the app included, so that an app below ".github"
// loses everything and "my.gitignored.js" is lost, too; here a part of the path
// must be the name.
func InDelta(name string, size int64) (ok bool, why string) {
	if size == 0 {
		return false, "empty: phones refuse a file without a byte"
	}
	for part := range strings.SplitSeq(name, "/") {
		for _, out := range leftOut {
			if part == out {
				return false, out + " is no part of an app"
			}
		}
		if strings.HasPrefix(part, "tsconfig") && strings.HasSuffix(part, ".json") {
			return false, "tsconfig*.json is no part of an app"
		}
	}
	return true, ""
}
