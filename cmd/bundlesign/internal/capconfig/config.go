// Package capconfig reads the configuration of a Capacitor app, and changes the one value in it that belongs to
// signing: plugins.CapacitorUpdater.publicKey.
//
// Its invariants: the configuration is never executed, also where it is a program; what is not a plain literal is
// said to be none, and never guessed; and a change leaves every other byte of the file as it is.
//
// A program can do what no reader of its text foresees. What an app really carries is the capacitor.config.json that
// "npx cap sync" writes into the native projects, and that is read by this package, too.
package capconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// maxFileSize is the longest configuration that is read, in bytes.
const maxFileSize = 1 << 20

// The values that are read, as paths in the configuration.
const (
	FieldAppID          = "appId"
	FieldWebDir         = "webDir"
	FieldUpdaterAppID   = "plugins.CapacitorUpdater.appId"
	FieldPublicKey      = "plugins.CapacitorUpdater.publicKey"
	FieldPrivateKey     = "plugins.CapacitorUpdater.privateKey"
	FieldVersion        = "plugins.CapacitorUpdater.version"
	FieldDefaultChannel = "plugins.CapacitorUpdater.defaultChannel"
)

// DefaultWebDir is what Capacitor takes where webDir is not set.
const DefaultWebDir = "www"

// Config is what a capacitor.config.json, .ts or .js says. A value that is not there is "".
type Config struct {
	Path           string
	AppID          string
	WebDir         string
	UpdaterAppID   string // of the updater, where it is not that of the app
	PublicKey      string // PEM
	PrivateKey     string // of the dead encryption V1; a secret: never shown
	Version        string
	DefaultChannel string

	// Unclear has the values that are there, or may be, and are no plain literals.
	Unclear []*UnclearError
}

// Doubt returns why a value, such as [FieldPublicKey], is not known, or nil if it is: what the Config has is then
// all there is to know.
func (c *Config) Doubt(field string) error {
	for _, u := range c.Unclear {
		if u.Field == field {
			return u
		}
	}
	return nil
}

// Find returns the configuration that Capacitor would use in dir, or "" if there is none. Capacitor takes the first
// of .ts, .js and .json.
func Find(dir string) (path string, err error) {
	for _, ext := range []string{".ts", ".js", ".json"} {
		name := filepath.Join(dir, "capacitor.config"+ext)
		if _, err := os.Stat(name); err == nil {
			return name, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// Read reads the file of that name.
func Read(path string) (*Config, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return Parse(path, src)
}

// Parse reads the configuration src; the name of the file says in which language it is. The error is a [SyntaxError],
// or an [UnclearError] if src is a program in which no literal configuration can be found.
func Parse(path string, src []byte) (*Config, error) {
	root, err := parse(path, src)
	if err != nil {
		return nil, err
	}
	c := &Config{Path: path}
	for _, v := range []struct {
		field string
		to    *string
	}{
		{FieldAppID, &c.AppID},
		{FieldWebDir, &c.WebDir},
		{FieldUpdaterAppID, &c.UpdaterAppID},
		{FieldPublicKey, &c.PublicKey},
		{FieldPrivateKey, &c.PrivateKey},
		{FieldVersion, &c.Version},
		{FieldDefaultChannel, &c.DefaultChannel},
	} {
		n, doubt := root.find(pathOf(v.field)...)
		if doubt == nil && n != nil && n.kind != textNode {
			doubt = &mark{n.start, n.what}
		}
		switch {
		case doubt != nil:
			c.Unclear = append(c.Unclear, newUnclear(path, src, doubt, v.field))
		case n != nil:
			*v.to = n.text
		}
	}
	return c, nil
}

// parse returns the object that the configuration is.
func parse(path string, src []byte) (*node, error) {
	if len(src) > maxFileSize {
		return nil, fmt.Errorf("%s has more than %d bytes, that cannot be right", path, maxFileSize)
	}
	switch ext := filepath.Ext(path); ext {
	case ".json":
		return parseJSON(path, src)
	case ".ts", ".js", ".mts", ".cts", ".mjs", ".cjs":
		return parseProgram(path, src)
	default:
		return nil, fmt.Errorf("%s: found a name that ends in %q, want capacitor.config.json, .ts or .js", path, ext)
	}
}

func pathOf(field string) []string { return strings.Split(field, ".") }

// SyntaxError is a place in a configuration that cannot be read.
type SyntaxError struct {
	Path         string
	Line, Column int // from 1, in characters
	Msg          string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Msg)
}

// UnclearError is a value that only running the program, or a guess, could tell.
type UnclearError struct {
	Path         string
	Line, Column int    // from 1, in characters
	Field        string // such as [FieldPublicKey]; "" if it is the configuration as a whole
	Found        string
}

func (e *UnclearError) Error() string {
	field, want := "", "want a plain string literal"
	if e.Field != "" {
		field = e.Field + ": "
	} else {
		want = "want the configuration as one object literal, in export default or module.exports"
	}
	return fmt.Sprintf("%s:%d:%d: %sfound %s, %s", e.Path, e.Line, e.Column, field, e.Found, want)
}

func newUnclear(path string, src []byte, m *mark, field string) *UnclearError {
	line, column := placeOf(src, m.at)
	return &UnclearError{path, line, column, field, m.found}
}

func newSyntax(path string, src []byte, m *mark) *SyntaxError {
	line, column := placeOf(src, m.at)
	return &SyntaxError{path, line, column, m.found}
}

// placeOf returns line and column of an offset, from 1 and in characters.
func placeOf(src []byte, at int) (line, column int) {
	before := src[:min(max(at, 0), len(src))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return 1 + bytes.Count(before, []byte("\n")), 1 + len([]rune(string(before[start:])))
}
