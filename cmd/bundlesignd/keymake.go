package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// makeFlags are what was typed about a key to be.
type makeFlags struct {
	*keyFlags
	name string
	app  string
	out  string
}

func (f *makeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "what the key is to be called in the configuration (required)")
	cmd.Flags().StringVar(&f.app, "app", "", "the id of the app whose updates it is to sign (required)")
	cmd.Flags().StringVar(&f.out, "out", "", "write the public key to this new `file`, too")
	f.addReason(cmd, "why the key is made; it goes into the log")
	f.addYes(cmd)
}

// keyName is what package config takes for the name of a key.
var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// check refuses what could not be used afterwards, while nothing has happened yet.
func (f *makeFlags) check() error {
	if err := f.checkReason(false); err != nil {
		return err
	}
	if !keyName.MatchString(f.name) {
		return &usageError{fmt.Errorf("--name: found %q, want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", f.name)}
	}
	if err := policy.CheckAppID(f.app); err != nil {
		return &usageError{fmt.Errorf("--app: %w", err)}
	}
	if f.out == "" {
		return nil
	}
	if err := vacant(f.out); err != nil {
		return &usageError{fmt.Errorf("--out: %w", err)}
	}
	return nil
}

// checkLog is check for the key of a log.
func (f *makeFlags) checkLog() error {
	if f.name+f.app+f.out != "" {
		return &usageError{errors.New("--log: found --name, --app or --out with it, which are for keys that sign for apps")}
	}
	return f.checkReason(false)
}

// making is a key on its way into a backend.
type making struct {
	flags  *makeFlags
	cfg    *config.Config
	log    *zap.Logger
	action audit.KeyAction
	uri    string // as it was asked for
	// private is what is imported, and public its other half; nil for a key that
	// the backend makes.
	private *rsa.PrivateKey
	public  *capgo.PublicKey
}

// made is a key that is in a backend now.
type made struct {
	uri     string
	public  *capgo.PublicKey
	custody signer.Custody
	begun   int64 // index of the log entries
	done    int64
}

// run says what will be done, asks, and does it: the log has that it begins before
// the backend is touched, and how it ended before anything is printed.
func (m *making) run(cmd *cobra.Command, plan []string) (_ *made, err error) {
	set, err := openBackends(m.cfg, m.log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	maker, err := set.Maker(m.uri)
	if err != nil {
		return nil, &usageError{err}
	}
	defer func() { err = errors.Join(err, maker.Close()) }()
	said, err := maker.Plan(cmd.Context(), m.private != nil)
	if err != nil {
		return nil, fmt.Errorf("it cannot be done: %w", err)
	}
	if err := confirm(cmd, m.flags.yes, append(append(plan, said...), inLog)); err != nil {
		return nil, err
	}
	ctx, end := interruptible(cmd)
	defer end()
	var out *made
	err = withDesk(ctx, m.cfg, m.log, func(d desk) error {
		var err error
		out, err = m.do(ctx, d, set, maker)
		return err
	})
	return out, err
}

// do makes the key, between the two entries of the log.
func (m *making) do(ctx context.Context, d desk, set *backends.Set, maker backends.KeyMaker) (*made, error) {
	entry := wire.KeyOperation{Action: string(m.action), Key: m.flags.name, URI: m.uri, Reason: m.flags.reason}
	if m.public != nil {
		entry.Fingerprint = m.public.Fingerprint()
	}
	out := new(made)
	var err error
	out.begun, out.done, err = between(ctx, d, entry, func(ctx context.Context, ended *wire.KeyOperation) error {
		if out.uri, err = m.make(ctx, maker); err != nil {
			return err
		}
		ended.URI = out.uri
		if err := m.look(ctx, set, maker, out); err != nil {
			return fmt.Errorf("the key is there, as %s, but it is not fit for use: %w", out.uri, err)
		}
		ended.Fingerprint, ended.Custody = out.public.Fingerprint(), wireCustody(&out.custody)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// make has the backend make or take the key.
func (m *making) make(ctx context.Context, maker backends.KeyMaker) (uri string, err error) {
	if m.private != nil {
		return maker.Import(ctx, m.private)
	}
	return maker.Create(ctx)
}

// look opens the new key as the daemon will, and has it sign once. Where only the
// maker's own way leads to it, who made it may well have no right to sign with it.
func (m *making) look(ctx context.Context, set *backends.Set, maker backends.KeyMaker, out *made) (err error) {
	var key signer.Key
	opener, own := maker.(backends.MadeOpener)
	if own {
		key, err = opener.OpenMade(out.uri)
	} else {
		key, err = set.Open(backends.Spec{Name: m.flags.name, URI: out.uri})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	ev, err := key.Inspect(ctx)
	if err != nil {
		return err
	}
	out.public, out.custody = ev.PublicKey, ev.Custody
	if m.public != nil && !m.public.Equal(ev.PublicKey) {
		return fmt.Errorf("its public key is %s, and that of the file is %s", ev.PublicKey.Fingerprint(), m.public.Fingerprint())
	}
	if own {
		return nil
	}
	return testSignature(ctx, key, ev.PublicKey)
}

// report is the result: everything that is needed to use the key.
func (m *making) report(cmd *cobra.Command, out *made) error {
	if m.flags.out != "" {
		if err := writeNew(m.flags.out, []byte(out.public.PEM())); err != nil {
			// The key is made: what follows is needed all the more.
			fmt.Fprintf(cmd.ErrOrStderr(), "bundlesignd: --out: %s\n", show.Printable(err.Error()))
		}
	}
	var t table
	t.Row("uri", out.uri)
	t.Row("key id", out.public.KeyID())
	t.Row("fingerprint", out.public.Fingerprint())
	t.custody(wireCustody(&out.custody))
	t.Row("log", fmt.Sprintf("entries %d and %d", out.begun, out.done))
	var b strings.Builder
	b.WriteString(t.String() + "\n" + out.public.PEM() + "\n")
	b.WriteString("For config.yaml:\n\nkeys:\n" + m.configEntry(out))
	if note := credentialsNote(out.uri); note != "" {
		b.WriteString("\n" + note + "\n")
	}
	for _, k := range m.cfg.Keys {
		if k.Name == m.flags.name {
			fmt.Fprintf(&b, "\nThe configuration has a key %q already: replace that entry, or give this one another name.\n", k.Name)
		}
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}

// credentialsNote says what a printed URI lacks, for a daemon that logs in as
// somebody else than who made the key.
func credentialsNote(uri string) string {
	switch {
	case strings.HasPrefix(uri, "hashivault:"):
		return "This URI logs in to Vault as you did. Put in the login of the daemon, which needs fewer rights: docs/backends.md."
	case strings.HasPrefix(uri, "gcpkms:"):
		return "This URI has no credentials in it. Add credentials= or impersonate= if the daemon's own do not do (docs/backends.md), and try the key: bundlesignd key check."
	}
	return ""
}

// configEntry is the key as an entry of "keys:" in config.yaml.
func (m *making) configEntry(out *made) string {
	public := m.flags.name + ".pub.pem"
	if m.flags.out != "" {
		public = m.flags.out
		if abs, err := filepath.Abs(public); err == nil {
			public = abs
		}
	}
	return fmt.Sprintf("  - name: %s\n    uri: %s\n    public_key: %s\n    apps: [%s]\n    custody: %s\n",
		m.flags.name, quoteYAML(out.uri), quoteYAML(public), m.flags.app, out.custody.Level)
}

// quoteYAML writes a string in single quotes, in which YAML knows no escape but
// the quote's own (YAML 1.2.2, section 7.3.2).
func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func newKeyCreateCommand(shared *keyFlags) *cobra.Command {
	flags := &makeFlags{keyFlags: shared}
	var forLog bool
	cmd := &cobra.Command{
		Use:   "create URI",
		Short: "Have a backend make a new private key that never leaves it",
		Long: `Have a token, Vault or Cloud KMS make a new RSA-2048 key that can sign and nothing else
and never leaves it. What will be done is said first.

What it prints is all that is needed to use the key: its public half, for the app, and
an entry for config.yaml. That it began is in the transparency log before the backend
is asked, and how it ended afterwards.`,
		Example: `  bundlesignd key create 'pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/bundlesignd/pin' \
    --name acme-shop --app com.acme.shop --out acme-shop.pub.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			check := flags.check
			if forLog {
				check = flags.checkLog
			}
			if err := check(); err != nil {
				return err
			}
			cfg, err := flags.load()
			if err != nil {
				return err
			}
			if forLog {
				return createLogKey(cmd, flags.keyFlags, cfg, args[0])
			}
			if _, software := keyFile(args[0]); software && !cfg.AllowSoftwareKeys {
				return &usageError{errors.New("the daemon would not use a key in a file, which is for development: want a key in an HSM, Vault or Cloud KMS, or allow_software_keys: true in the configuration")}
			}
			m := &making{flags: flags, cfg: cfg, log: keyLogger(cmd), action: audit.KeyCreate, uri: args[0]}
			out, err := m.run(cmd, nil)
			if err != nil {
				return err
			}
			return m.report(cmd, out)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&forLog, "log", false, "make an Ed25519 key for a transparency log, without --name, --app and --out")
	return cmd
}
