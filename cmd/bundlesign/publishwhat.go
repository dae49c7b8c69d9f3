package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// publication is what is published: all of it was checked.
type publication struct {
	app, channel, version string
	key                   *keyResult // what the app's key gave
	keyID                 string
	url                   string // of the encrypted zip; "" if there is none
	verified              bool   // the files are here, and good
	updateJSON            []byte
}

// preparePublishing does everything that can fail before anything is published.
func (a *app) preparePublishing(cmd *cobra.Command, f *publishFlags) (*publication, error) {
	if err := a.settlePublish(cmd, f); err != nil {
		return nil, err
	}
	check := verifyFlags{result: f.result, key: f.key, logKey: f.logKey, maxSize: defaultMaxSize}
	v, err := check.begin(a)
	if err != nil {
		return nil, err
	}
	p := &publication{key: v.result.of(v.key), keyID: v.key.KeyID()}
	if err := p.verify(cmd.Context(), a, v); err != nil {
		return nil, err
	}
	if err := p.name(f, v); err != nil {
		return nil, err
	}
	if (f.uploadCommand || f.register) && p.url == "" {
		return nil, &inputError{err: errors.New("found no URL of an encrypted zip, and Capgo takes nothing else"), hint: "say with --url where phones download it"}
	}
	if f.register {
		if err := p.registration().Check(); err != nil {
			return nil, &inputError{err: err}
		}
	}
	if f.updateJSON == "" {
		return p, nil
	}
	if f.updateJSON == "-" {
		return nil, &inputError{err: errors.New("--update-json: found -, want the name of a file")}
	}
	if err := outfile.Check(f.updateJSON); err != nil {
		return nil, &inputError{err: fmt.Errorf("--update-json: %w", err)}
	}
	return p, p.makeUpdate(f.url, len(v.result.Also) > 0)
}

// settlePublish takes from the environment and the project what was not typed. The
// API is not in the file: a repository must not choose who gets the API key.
func (a *app) settlePublish(cmd *cobra.Command, f *publishFlags) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	from := []setting{one("api", ""), one("log-key", s.LogKey)}
	if f.key.capacitor == "" {
		from = append(from, one("public-key", s.PublicKey))
	}
	return a.settle(cmd, from)
}

// verify makes the checks of bundlesign verify with the files that are here. What
// was uploaded by another job may not be; its values are checked all the same.
func (p *publication) verify(ctx context.Context, a *app, v *verification) error {
	p.verified = true
	err := infile.Check(p.key.Filename)
	switch {
	case p.key.Filename == "" && p.key.Delta != nil: // there is no zip
	case err == nil:
		v.zip = p.key.Filename
	case errors.Is(err, fs.ErrNotExist):
		p.verified = false
		a.say("warning: the encrypted zip %q is not here, so that only its checksum and session key were checked", p.key.Filename)
	default:
		return &inputError{err: err}
	}
	if p.key.Delta != nil {
		if err := v.findDelta(p.key.Delta.Folder); err != nil {
			return err
		}
	}
	r, err := v.run(ctx)
	if err != nil {
		return err
	}
	if v.zip == "" && v.delta == nil {
		r.unwraps(v.sessionKey)
	}
	for _, c := range r.Checks {
		if c.Result == checkWarning {
			a.say("warning: %s", c.Detail)
		}
	}
	if err := r.failed(); err != nil {
		return fmt.Errorf("nothing was published: %w", err)
	}
	if p.verified {
		a.say("the files of the result were verified")
	}
	return nil
}

// name finds app, channel and version: what was signed, and nothing else. Without a
// receipt nobody knows that: a signature is of the content alone, and what else the
// result says could make an old release a new version.
func (p *publication) name(f *publishFlags, v *verification) error {
	if v.result.Log != nil {
		_, leaf, err := v.openReceipt() // was checked before
		if err != nil {
			return err
		}
		p.app, p.channel, p.version = leaf.AppID, leaf.Channel, leaf.Release
	}
	for _, said := range []struct {
		flag, value string
		is          *string
	}{{"app", f.app, &p.app}, {"channel", f.channel, &p.channel}, {"version", f.version, &p.version}} {
		if said.value != "" && *said.is != "" && said.value != *said.is {
			return &inputError{
				err:  fmt.Errorf("--%s: found %q, and what was signed is for %q", said.flag, said.value, *said.is),
				hint: "what was signed for one app, channel and version is published as that; sign it for the other one, too",
			}
		}
		if said.value != "" {
			*said.is = said.value
		}
	}
	checks := []error{publish.CheckApp(p.app), publish.CheckVersion(p.version)}
	if f.uploadCommand || p.channel != "" {
		checks = append(checks, publish.CheckChannel(p.channel))
	}
	if err := errors.Join(checks...); err != nil {
		return &inputError{err: err, hint: "the log receipt of a result tells app, channel and version; of a result without one say them with --app, --channel and --version"}
	}
	return p.address(f.url, len(v.result.Also) > 0)
}

// address finds where the zip will be.
func (p *publication) address(text string, several bool) error {
	p.url = p.key.URL
	if text != "" {
		p.url = p.place(text, several).zipURL
	}
	if p.url == "" {
		return nil
	}
	if err := publish.CheckURL(p.url); err != nil {
		return &inputError{err: err}
	}
	return nil
}

// place is where sign would say that phones find the result.
func (p *publication) place(text string, several bool) *place {
	out := &place{zip: p.key.Filename}
	key := ""
	if several {
		key = p.key.Key
	}
	out.urls(text, key, filepath.Base(p.key.Filename))
	return out
}

func (p *publication) makeUpdate(text string, several bool) (err error) {
	u := &capgo.Update{Version: p.version, URL: p.url, SessionKey: p.key.IVSessionKey, Checksum: p.key.Checksum}
	if p.key.Delta != nil {
		base := ""
		if text != "" {
			base = p.place(text, several).baseURL
		}
		if u.Manifest, err = readManifest(p.key.Delta.Folder, base); err != nil {
			return err
		}
	}
	if p.updateJSON, err = publish.UpdateJSON(u); err != nil {
		return &inputError{err: err, hint: "--url says where phones download it"}
	}
	return nil
}

func (p *publication) registration() *publish.Registration {
	return &publish.Registration{
		App: p.app, Version: p.version, URL: p.url,
		Checksum: p.key.Checksum, SessionKey: p.key.IVSessionKey, KeyID: p.keyID,
	}
}
