package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// installFlags are the flags of keys install.
type installFlags struct {
	config string
	force  bool
	json   bool
}

func (a *app) keysInstallCommand() *cobra.Command {
	var f installFlags
	cmd := &cobra.Command{
		Use:   "install NAME",
		Short: "Put a key of the daemon into the app's capacitor.config",
		Long: `Writes the public key NAME to plugins.CapacitorUpdater.publicKey of the app's
capacitor.config.ts, .js or .json. Nothing else in the file changes, and it is not
executed: where the value is no plain literal, the line to write by hand is told.

Another key that is there already is replaced only with --force: apps in the field
go on carrying the key that they were built with.`,
		Args: arguments("NAME"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			in, err := a.openConfig(f.config)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				key, err := c.Key(ctx, args[0])
				if err != nil {
					return err
				}
				return a.install(in, key, args[0], &f)
			})
		}),
	}
	cmd.Flags().StringVar(&f.config, "config", "", "the app's capacitor.config `file` (default: the one in the folder of the project)")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace another key, or install one that is not for this app")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// configFile is an app's configuration as it was when it was read.
type configFile struct {
	path   string
	src    []byte
	config *capconfig.Config
}

// openConfig reads the configuration of that name, or that of the project.
func (a *app) openConfig(path string) (*configFile, error) {
	if path == "" {
		s, err := a.settings()
		if err != nil {
			return nil, err
		}
		if path, err = capconfig.Find(s.dir); err != nil {
			return nil, &inputError{err: err}
		}
		if path == "" {
			return nil, &inputError{
				err:  fmt.Errorf("found no capacitor.config.ts, .js or .json in %s", s.dir),
				hint: "go to the folder of the app, or name the file with --config",
			}
		}
		if rel, err := filepath.Rel(s.dir, path); err == nil && s.file == "" {
			path = rel // the current folder
		}
	}
	if err := outfile.Check(path); err != nil {
		return nil, &inputError{err: err, hint: "name the file itself with --config"}
	}
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c, err := capconfig.Parse(path, src)
	if err != nil && !errors.As(err, new(*capconfig.UnclearError)) {
		return nil, &inputError{err: err}
	}
	return &configFile{path, src, c}, nil // without a config, the edit says what to do
}

// installed is what keys install prints.
type installed struct {
	Config      string        `json:"config"`
	Changed     bool          `json:"changed"`
	Key         string        `json:"key"`
	KeyID       string        `json:"key_id"`
	Fingerprint string        `json:"fingerprint"`
	Custody     *wire.Custody `json:"custody,omitempty"`
	Replaced    string        `json:"replaced,omitempty"` // fingerprint of the key that was there, or "unreadable"
	Next        []string      `json:"next"`
}

// install puts the key, which was asked for as name, into the file.
func (a *app) install(in *configFile, k *wire.Key, name string, f *installFlags) error {
	public, err := a.checkInstallable(in, k, name, f)
	if err != nil {
		return err
	}
	out := &installed{Config: in.path, Key: k.Name, KeyID: public.KeyID(), Fingerprint: public.Fingerprint(), Custody: k.Custody}
	if out.Replaced, err = replaced(in, public, f.force); err != nil {
		return err
	}
	edited := in.src
	if in.config == nil || in.config.PublicKey == "" || out.Replaced != "" {
		if edited, err = capconfig.SetPublicKey(in.path, in.src, public.PEM()); err != nil {
			return unclearEdit(in.path, public, err)
		}
	}
	if out.Changed = !bytes.Equal(edited, in.src); out.Changed {
		if now, err := readFile(in.path); err != nil || !bytes.Equal(now, in.src) {
			return &inputError{err: fmt.Errorf("%s was changed meanwhile; it was left alone", in.path), hint: "run the same command again"}
		}
		if err := outfile.Replace(in.path, edited); err != nil {
			return fmt.Errorf("%s was not changed: %w", in.path, err)
		}
	}
	out.next()
	if f.json {
		return a.printJSON(out)
	}
	return a.print(out.String())
}

// checkInstallable returns the public key, if it is one that the app's updates will be signed with.
func (a *app) checkInstallable(in *configFile, k *wire.Key, name string, f *installFlags) (*capgo.PublicKey, error) {
	public, err := publicKeyOf(k)
	if err != nil {
		return nil, err
	}
	if k.Name != name {
		return nil, &client.UntrustedError{Part: "name", Err: fmt.Errorf("found %q, asked for %q", k.Name, name)}
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	if s.PublicKey != "" && (s.Key == "" || s.Key == name) {
		pinned, err := (&keyFlags{pem: s.PublicKey}).load()
		if err != nil {
			return nil, err
		}
		if !pinned.Equal(public) {
			return nil, &verificationError{
				err:  fmt.Errorf("the daemon's key %s (%s) is not the one that public_key in %s pins (%s)", name, public.Fingerprint(), s.file, pinned.Fingerprint()),
				hint: "nothing was written; if the key is to be another from now on, change the pin first",
			}
		}
	}
	switch k.State {
	case "disabled", "quarantined":
		return nil, &inputError{err: fmt.Errorf("key %s is %s: %s", name, k.State, orDash(k.Detail)), hint: "an app must not be built with a key that does not sign; bundlesign keys lists the others"}
	case "ok", "unchecked":
	default:
		a.say("warning: key %s is %s now: %s", name, k.State, orDash(k.Detail))
	}
	if in.config == nil {
		return public, nil
	}
	if id := updatesID(in.config); id != "" && !serves(k, id) {
		if !f.force {
			return nil, &inputError{
				err:  fmt.Errorf("%s is of the app %s, for which the daemon does not sign with key %s (its apps: %s)", in.path, id, name, orDash(strings.Join(k.Apps, " "))),
				hint: "choose another key (bundlesign keys), or have the app added to this one; --force installs it all the same",
			}
		}
		a.say("warning: the daemon does not sign for %s with key %s", id, name)
	}
	return public, nil
}

// updatesID is the app id that updates are for.
func updatesID(c *capconfig.Config) string {
	if c.UpdaterAppID != "" {
		return c.UpdaterAppID
	}
	return c.AppID
}

// serves reports whether a key signs for an app.
func serves(k *wire.Key, app string) bool {
	return slices.Contains(k.Apps, app) || slices.Contains(k.Apps, "*")
}

// replaced says which other key the app has, or nothing. Without force there must be none.
func replaced(in *configFile, public *capgo.PublicKey, force bool) (string, error) {
	if in.config == nil || in.config.PublicKey == "" {
		return "", nil
	}
	other, err := capgo.ParsePublicKeyPEM([]byte(in.config.PublicKey))
	if err == nil && other.Equal(public) {
		return "", nil
	}
	found := "unreadable"
	if err == nil {
		found = other.Fingerprint()
	}
	if !force {
		return "", &inputError{
			err:  fmt.Errorf("%s has another key already (%s); it was left alone. Apps in the field keep the key that they were built with, and refuse updates that are signed with the new one alone", in.path, found),
			hint: "--force replaces it, for the next native release; until every phone has that, have each update signed with both keys (also_keys in bundlesign.yaml)",
		}
	}
	return found, nil
}

// unclearEdit says what to do by hand.
func unclearEdit(path string, public *capgo.PublicKey, err error) error {
	hint := ""
	if errors.As(err, new(*capconfig.UnclearError)) {
		hint = "the file was left alone; write this by hand, in plugins.CapacitorUpdater: " + capconfig.Property(path, public.PEM())
	}
	return &inputError{err: err, hint: hint}
}

// next says what is still to be done.
func (i *installed) next() {
	i.Next = []string{
		"npx cap sync",
		"build the native apps and release them through the stores: phones take the key from there, not from a live update",
		fmt.Sprintf("pin it for signing: bundlesign keys %s --pem >public.pem, and public_key: public.pem in bundlesign.yaml", i.Key),
	}
	if i.Replaced != "" {
		i.Next = append(i.Next, "until every phone has that release: sign each update with the old key, too")
	}
}

// String is the result for people.
func (i *installed) String() string {
	var t table
	t.Row("key", i.Key)
	t.Row("fingerprint", i.Fingerprint)
	if i.Custody != nil {
		t.Row("custody", fmt.Sprintf("%s (%s)", i.Custody.Level, i.Custody.Backend))
	}
	if i.Replaced != "" {
		t.Row("replaced", i.Replaced)
	}
	if i.Changed {
		t.Row("written", i.Config)
	} else {
		t.Row("unchanged", i.Config+" has it already")
	}
	text := t.String() + "\nnext:\n"
	for _, step := range i.Next {
		text += "  " + printableLine(step)
	}
	return text
}
