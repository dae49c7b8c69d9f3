package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/bundlesign/bundlesign/capgo"
)

// maxKeyFile is the largest key file in bytes; real ones have some hundreds.
const maxKeyFile = 16 << 10

// Options are what a configuration is read with.
type Options struct {
	// CheckURI says what is wrong with the URI of a key. It must not open or
	// connect to anything. Nil: nothing but its scheme is looked for.
	CheckURI func(string) error
	// UID is the user as whom the daemon runs: its files, and root's, are
	// believed. Nil: the effective user of this process.
	UID *int
	// Draft says that the files are not those that a daemon runs with, but what
	// may become them, such as a checkout: who could write them does not matter.
	Draft bool
	// ThisMachine compares the configuration with the machine, as it is for the
	// user who runs this: the folder of the state must be fit for a daemon of
	// that user, and it is a warning if the socket could not be made or the policy
	// names users and groups that are not there.
	ThisMachine bool
	// SocketPassed says that the socket is there already, from systemd.
	SocketPassed bool
	// KeyFile returns the path of the private key in a file that the URI of a
	// key names, or false. If it is set, such a file must be readable.
	KeyFile func(uri string) (path string, ok bool)
}

func (o Options) trust() trust {
	if o.UID != nil {
		return trust{uid: *o.UID, draft: o.Draft}
	}
	return trust{uid: os.Geteuid(), draft: o.Draft}
}

// Load reads config.yaml at path, the policy, the pinned public keys and the
// log key, and checks all of it. An error is an [Errors] with everything that is
// wrong; then there is no configuration. Warnings may come with either.
func Load(path string, opts Options) (*Config, []Warning, error) {
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, Errors{{File: path, Msg: err.Error()}}
	}
	l := loader{report: newReport(path), trust: opts.trust(), told: make(map[string]bool)}
	data, doubts, err := l.trust.read(path, maxFileSize, false)
	l.doubt("", doubts)
	if err != nil {
		l.errorf("", "%v", err)
		return nil, nil, l.errs
	}
	c := Default()
	if !parse(l.report, data, c, base, opts.CheckURI) {
		return nil, nil, l.sorted().errs
	}
	rules := l.loadPolicy(c, opts.ThisMachine)
	for i := range c.Keys {
		l.loadPublicKey(c, i)
		if opts.KeyFile != nil {
			l.checkKeyFile(c, i, opts.KeyFile)
		}
	}
	for i := range c.TokenIssuers {
		l.loadTokenIssuer(&c.TokenIssuers[i], fmt.Sprintf("token_issuers[%d]", i))
	}
	l.loadLogKey(c)
	if opts.ThisMachine {
		l.checkStateDir(c.StateDir)
		if !opts.SocketPassed {
			l.checkSocketDir(c.Socket.Path)
		}
	}

	l.sorted()
	warnings := append(l.warnings, rules.warnings...)
	if err := append(l.errs, rules.errs...).err(); err != nil {
		return nil, warnings, err
	}
	return c, warnings, nil
}

// parse reads config.yaml without looking at any other file. It returns false
// if the text has no fields to go on with.
func parse(r *report, data []byte, c *Config, base string, checkURI func(string) error) bool {
	if !decode(r, data, c) {
		return false
	}
	resolve(reflect.ValueOf(c).Elem(), base)
	check(r, c, checkURI)
	return true
}

// loader reads the files that config.yaml names. What is wrong with one is a
// fault of the field that names it.
type loader struct {
	*report
	trust trust
	told  map[string]bool // doubts, so that one folder is not reported for each file in it
}

func (l *loader) doubt(field string, doubts []error) {
	for _, d := range doubts {
		if !l.told[d.Error()] {
			l.told[d.Error()] = true
			l.errorf(field, "%v", d)
		}
	}
}

// read reads the file that a field names, or reports why not and returns nil.
func (l *loader) read(field, path string, limit int64, private bool) []byte {
	if !l.ok(field) || path == "" {
		return nil
	}
	data, doubts, err := l.trust.read(path, limit, private)
	l.doubt(field, doubts)
	if err != nil {
		l.errorf(field, "%v", err)
		return nil
	}
	return data
}

// besides shows a path as the user would: relative if config.yaml was named so.
func (l *loader) besides(path string) string {
	if filepath.IsAbs(l.file) {
		return path
	}
	base, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	if shown, err := filepath.Rel(base, path); err == nil {
		return shown
	}
	return path
}

func (l *loader) loadPublicKey(c *Config, i int) {
	key, field := &c.Keys[i], fmt.Sprintf("keys[%d].public_key", i)
	data := l.read(field, key.PublicKeyPath, maxKeyFile, false)
	if data == nil {
		return
	}
	pin, err := capgo.ParsePublicKeyPEM(data)
	if err != nil {
		l.errorf(field, "%s: %v", key.PublicKeyPath, err)
		return
	}
	for j, other := range c.Keys[:i] {
		if pin.Equal(other.PublicKey) {
			l.warnf(field, "is the same key as that of keys[%d]; what one signs is good for the apps of both", j)
		}
	}
	key.PublicKey = pin
}

func (l *loader) loadLogKey(c *Config) {
	if c.Log.URI != "" {
		return // it is in a backend
	}
	data := l.read("log.key", c.Log.KeyPath, maxKeyFile, true)
	if data == nil || !l.ok("log") || !l.ok("log.origin") {
		return
	}
	defer clear(data)
	signer, verifier, err := parseLogKey(string(bytes.TrimSpace(data)))
	if err != nil {
		l.errorf("log.key", "%s: %v", c.Log.KeyPath, err)
		return
	}
	if signer.Name() != c.Log.Origin {
		l.errorf("log.key", "%s: found the key of log %s, want that of log.origin, %q", c.Log.KeyPath, quote(signer.Name()), c.Log.Origin)
		return
	}
	c.Log.Signer, c.Log.VerifierKey = signer, verifier
}
