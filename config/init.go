package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// InitOptions are what a starting configuration is made from.
type InitOptions struct {
	App    string // id of the first app; required
	User   string // who may have its updates signed, by name; required
	Origin string // name of the log; required
	// StateDir and Socket are paths, as seen from dir if they are relative;
	// "": "state" and "bundlesignd.sock" in dir.
	StateDir string
	Socket   string
	// KeyURI and PublicKey are a key that exists already, and its public half as
	// PEM. With neither, CreateKey makes a private key in a file.
	KeyURI    string
	PublicKey []byte
	// CreateKey makes a new private key in a file that does not exist yet, or
	// nothing, and returns its public half.
	CreateKey func(path string) (*capgo.PublicKey, error)
	// Options are what the result is checked with.
	Options
}

// Initialized is what [Init] wrote. All paths are absolute.
type Initialized struct {
	Config     string
	Policy     string
	PrivateKey string // "" if the key existed
	PublicKey  string
	LogKey     string
	StateDir   string
	Socket     string // will be made by the daemon
	KeyName    string
}

// InputError says that [Init] was asked for what cannot be: a value is wrong, or
// something is in the way. Nothing was written.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

// Init writes a configuration that works, with the manual's comments, into dir,
// which is made if it is not there. It never overwrites: if anything that it
// would write exists, or anything goes wrong on the way, it leaves nothing of
// its own behind.
func Init(dir string, opts InitOptions) (*Initialized, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p, err := plan(dir, opts)
	if err != nil {
		return nil, &InputError{err}
	}
	if err := p.vacant(); err != nil {
		return nil, &InputError{err}
	}
	var u undo
	if err := p.write(&u, opts.CreateKey); err != nil {
		return nil, errors.Join(err, u.all())
	}
	if _, _, err := Load(p.Config, opts.Options); err != nil {
		return nil, errors.Join(fmt.Errorf("what would have been written does not work, so nothing was:\n%w", err), u.all())
	}
	return &p.Initialized, nil
}

// initPlan is all that will be written, before anything is.
type initPlan struct {
	Initialized
	dir       string
	config    []byte
	policy    []byte
	publicKey string // PEM; "" until the key is made
	origin    string
}

// plan makes and checks the texts of a starting configuration.
func plan(dir string, opts InitOptions) (*initPlan, error) {
	if err := policy.CheckAppID(opts.App); err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	if opts.User == "" {
		return nil, errors.New("user: found no name, want that of the user who may have updates signed")
	}
	if (opts.KeyURI == "") != (len(opts.PublicKey) == 0) {
		return nil, errors.New("found a key's URI or its public key alone, want both, or neither for a new key in a file")
	}
	p := &initPlan{dir: dir, origin: opts.Origin}
	c := Default()
	key := DefaultKey()
	key.Name = keyNameFor(opts.App)
	key.Apps = []string{opts.App}
	key.PublicKeyPath = key.Name + ".pub.pem"
	key.URI = opts.KeyURI
	if key.URI == "" {
		key.URI = fileScheme + key.Name + ".key.pem"
		p.PrivateKey = filepath.Join(dir, key.Name+".key.pem")
	} else {
		public, err := capgo.ParsePublicKeyPEM(opts.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		p.publicKey = public.PEM()
	}
	if key.isSoftware() {
		key.Custody = signer.Software
		c.AllowSoftwareKeys = true
	}
	c.Keys = []Key{key}
	c.StateDir = defaultTo(opts.StateDir, "state")
	c.Socket.Path = defaultTo(opts.Socket, "bundlesignd.sock")
	c.Log.Origin = opts.Origin
	rules := &PolicyFile{Rules: []Rule{{
		Name: "starter", Apps: []policy.Glob{policy.Glob(opts.App)},
		Users: []policy.Glob{policy.Glob(opts.User)}, Effect: policy.Allow,
	}}}

	p.KeyName = key.Name
	p.Config = filepath.Join(dir, "config.yaml")
	p.Policy = filepath.Join(dir, c.PolicyPath)
	p.PublicKey = filepath.Join(dir, key.PublicKeyPath)
	p.LogKey = filepath.Join(dir, c.Log.KeyPath)
	p.StateDir = absolute(c.StateDir, dir)
	p.Socket = absolute(c.Socket.Path, dir)
	p.config = append(p.header("Config"), render(c, manual)...)
	p.policy = append(p.header("PolicyFile"), render(rules, manual)...)
	return p, p.check(opts)
}

// header is how both files begin.
func (p *initPlan) header(name string) []byte {
	_, about, _ := strings.Cut(manual(name), "\n\n")
	return []byte(commentLines(`Written by "bundlesignd init" as a start; every field is here. This says whether anything is wrong with it:`, "") +
		"#   bundlesignd config check --config " + ShellQuote(p.Config) + "\n#\n" +
		commentLines(about, "") + "\n")
}

// check parses what would be written, so that a bad value is refused before
// anything is written.
func (p *initPlan) check(opts InitOptions) error {
	configs, policies := newReport("config.yaml"), newReport("policy.yaml")
	parse(configs, p.config, Default(), p.dir, opts.CheckURI)
	parsePolicy(policies, p.policy, func(string) []byte { return nil }) // it names no people
	var errs []error
	for _, fault := range append(configs.errs, policies.errs...) {
		errs = append(errs, fmt.Errorf("%s: %s", fault.Field, fault.Msg)) // the line is of no file yet
	}
	return errors.Join(errs...)
}

// vacant checks that everything to be written can be, and is not there yet.
func (p *initPlan) vacant() error {
	var errs []error
	for _, path := range []string{p.Config, p.Policy, p.PrivateKey, p.PublicKey, p.LogKey} {
		if path == "" {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			errs = append(errs, fmt.Errorf("found %s already, and nothing is ever overwritten: move it away, or choose another folder", path))
		} else if !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	entries, err := os.ReadDir(p.StateDir)
	switch {
	case err == nil && len(entries) > 0:
		errs = append(errs, fmt.Errorf("found %s with something in it (%s), want an empty folder or none: a new configuration begins with a new log", p.StateDir, entries[0].Name()))
	case err != nil && !errors.Is(err, os.ErrNotExist):
		errs = append(errs, fmt.Errorf("state folder: %w", err))
	}
	return errors.Join(errs...)
}

// write writes everything, config.yaml last: where it is, the rest is too.
func (p *initPlan) write(u *undo, createKey func(string) (*capgo.PublicKey, error)) error {
	if err := u.mkdir(p.dir, 0o755); err != nil {
		return err
	}
	if err := u.mkdir(p.StateDir, 0o700); err != nil {
		return err
	}
	if p.PrivateKey != "" {
		public, err := createKey(p.PrivateKey)
		if err != nil {
			return err
		}
		u.made(p.PrivateKey)
		if err := os.Chmod(p.PrivateKey, 0o600); err != nil {
			return err
		}
		p.publicKey = public.PEM()
	}
	logKey, _, err := note.GenerateKey(rand.Reader, p.origin)
	if err != nil {
		return fmt.Errorf("making the key of the log: %w", err)
	}
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{p.PublicKey, []byte(p.publicKey), 0o644},
		{p.LogKey, []byte(logKey + "\n"), 0o600},
		{p.Policy, p.policy, 0o644},
		{p.Config, p.config, 0o644},
	} {
		if err := u.create(f.path, f.data, f.mode); err != nil {
			return err
		}
	}
	return syncFolder(p.dir)
}

// keyNameFor makes the name of a key from an app id: com.acme.shop is
// "acme-shop".
func keyNameFor(app string) string {
	_, rest, _ := strings.Cut(strings.ToLower(app), ".")
	name := strings.Trim(strings.Map(func(c rune) rune {
		if c == '.' || c == '_' {
			return '-'
		}
		return c
	}, rest), "-")
	name = strings.TrimRight(name[:min(len(name), 63)], "-")
	if name == "" {
		return "app"
	}
	return name
}

func defaultTo(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
