package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/config"
)

// maxPublicKey is the largest file that --public-key reads, in bytes.
const maxPublicKey = 16 << 10

// initFlags are what the user typed.
type initFlags struct {
	dir, app, user, origin, stateDir, socket, keyURI, publicKey string
}

func newInitCommand() *cobra.Command {
	var flags initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a starting configuration",
		Long: `Write a configuration that works, with a comment on every field: config.yaml,
policy.yaml, the key of the transparency log, and a private key in a file, for
trying things out. With --key-uri and --public-key, the key is one that exists
already, in an HSM for example.

Nothing is ever overwritten. If anything is in the way, nothing is written.`,
		Example: `  bundlesignd init --dir ./bundlesign --app com.acme.shop
  bundlesignd init --app com.acme.shop --user ci --public-key acme-shop.pub.pem \
    --key-uri 'pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/bundlesignd/pin'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := flags.options()
			if err != nil {
				return err
			}
			made, err := config.Init(flags.dir, opts)
			if err != nil {
				return err
			}
			return explainInit(cmd.OutOrStdout(), made, flags.app)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.dir, "dir", filepath.Dir(defaultConfig), "the folder to write to; made if it is not there")
	f.StringVar(&flags.app, "app", "com.example.app", "the id of the app whose updates are signed")
	f.StringVar(&flags.user, "user", "", "the user who may have them signed (default: you)")
	f.StringVar(&flags.origin, "origin", "", "the name of the transparency log, unique in the world (default: this host's name and /bundlesign)")
	f.StringVar(&flags.stateDir, "state-dir", "", "the folder of the daemon's state (default: that of the system for the default --dir, else DIR/state)")
	f.StringVar(&flags.socket, "socket", "", "the path of the socket (default: that of the system for the default --dir, else DIR/bundlesignd.sock)")
	f.StringVar(&flags.keyURI, "key-uri", "", "the URI of a private key that exists already")
	f.StringVar(&flags.publicKey, "public-key", "", "the file with that key's public half: PEM, BEGIN RSA PUBLIC KEY")
	return cmd
}

// options fills in what was not typed, and reads what was named.
func (f initFlags) options() (config.InitOptions, error) {
	opts := config.InitOptions{
		App: f.app, User: f.user, Origin: f.origin, KeyURI: f.keyURI,
		CreateKey: file.Create, Options: config.Options{CheckURI: backends.CheckURI},
	}
	if (f.keyURI == "") != (f.publicKey == "") {
		return opts, &usageError{errors.New("found one of --key-uri and --public-key, want both, or neither for a new key in a file")}
	}
	if opts.User == "" {
		u, err := user.Current()
		if err != nil {
			return opts, fmt.Errorf("finding your user name: %w; say who may sign with --user", err)
		}
		opts.User = u.Username
	} else if _, err := user.Lookup(opts.User); err != nil && !strings.Contains(opts.User, "*") {
		return opts, &usageError{fmt.Errorf("--user: %w; make the user first, or correct the name", err)}
	}
	if opts.Origin == "" {
		host, err := os.Hostname()
		if err != nil {
			return opts, fmt.Errorf("finding this host's name: %w; name the log with --origin", err)
		}
		opts.Origin = hostLabel(host) + "/bundlesign"
	}
	if filepath.Clean(f.dir) == filepath.Dir(defaultConfig) {
		d := config.Default()
		opts.StateDir, opts.Socket = d.StateDir, d.Socket.Path
	}
	// What is typed is relative to here, what stands in config.yaml to there.
	for _, p := range []struct{ typed, option *string }{{&f.stateDir, &opts.StateDir}, {&f.socket, &opts.Socket}} {
		if *p.typed == "" {
			continue
		}
		path, err := filepath.Abs(*p.typed)
		if err != nil {
			return opts, err
		}
		*p.option = path
	}
	if f.publicKey != "" {
		data, err := readPublicKey(f.publicKey)
		if err != nil {
			return opts, err
		}
		opts.PublicKey = data
	}
	return opts, nil
}

// hostLabel replaces what a host's name may have on Linux, but not in a URL.
func hostLabel(host string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' {
			return c
		}
		return '-'
	}, host), "-.")
}

func readPublicKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--public-key: %w", err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPublicKey+1))
	if err != nil {
		return nil, &usageError{fmt.Errorf("--public-key: %w", err)}
	}
	if len(data) == 0 || len(data) > maxPublicKey {
		return nil, &usageError{fmt.Errorf("--public-key: found %s with nothing or more than %d bytes in it, want a public key", path, maxPublicKey)}
	}
	return data, nil
}

// explainInit says what was written and how to go on, as commands that can be
// pasted.
func explainInit(w io.Writer, made *config.Initialized, app string) error {
	var b strings.Builder
	b.WriteString("Wrote:\n")
	for _, f := range []struct{ path, what string }{
		{made.Config, "the configuration; every field is explained in it"},
		{made.Policy, "who may have what signed"},
		{made.PrivateKey, "a private key, for trying things out: real ones belong in an HSM"},
		{made.PublicKey, "the public key, which the app carries"},
		{made.LogKey, "the key that signs the transparency log"},
		{made.StateDir + "/", "the daemon's state"},
	} {
		if f.path != "" {
			fmt.Fprintf(&b, "  %s\n      %s\n", f.path, f.what)
		}
	}
	if os.Geteuid() == 0 {
		fmt.Fprintf(&b, "\nThe files belong to root. If the daemon is to run as another user:\n  chown USER %s\n",
			quoteAll(made.LogKey, made.PrivateKey, made.StateDir))
	}
	fmt.Fprintf(&b, "\nThe public key in one line, for plugins.CapacitorUpdater.publicKey in capacitor.config:\n  awk '{printf \"%%s\\\\n\", $0}' %s\n",
		quoteAll(made.PublicKey))
	fmt.Fprintf(&b, "\nStart the daemon:\n  bundlesignd serve --config %s\n", quoteAll(made.Config))
	fmt.Fprintf(&b, "\nSign a first bundle:\n  bundlesign sign BUNDLE.zip --app %s --channel production --version 1.0.0 --socket %s\n",
		quoteAll(app), quoteAll(made.Socket))
	_, err := io.WriteString(w, b.String())
	return err
}

// quoteAll writes words as a shell reads them, without those that are empty.
func quoteAll(words ...string) string {
	var quoted []string
	for _, w := range words {
		if w != "" {
			quoted = append(quoted, config.ShellQuote(w))
		}
	}
	return strings.Join(quoted, " ")
}
