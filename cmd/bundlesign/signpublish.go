package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// registerFlags have a signed bundle registered with Capgo. The address is never
// one of bundlesign.yaml: the API key goes there.
type registerFlags struct {
	wanted bool
	at     string
	api    *publish.API
}

func (f *registerFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wanted, "register", false, "register the bundle with Capgo; the API key is that of the official CLI (env "+publish.KeyVariable+")")
	cmd.Flags().StringVar(&f.at, "api", publish.DefaultAPI, "`URL` of the API to register it with")
}

// checkPublishing finds out before anything is signed whether the result can be
// published as it was asked for.
func (s *signing) checkPublishing() error {
	f := s.f
	if !f.register.wanted && f.url == "" {
		return nil
	}
	if f.url != "" {
		if err := publish.CheckBase(f.url); err != nil {
			return &inputError{err: fmt.Errorf("--url: %w", err)}
		}
		// They go into a command that people run, and into update.json.
		if err := errors.Join(publish.CheckApp(s.sub.AppID), publish.CheckChannel(s.sub.Channel), publish.CheckVersion(s.sub.Version)); err != nil {
			return &inputError{err: fmt.Errorf("--url: what is published: %w", err)}
		}
	}
	if f.url != "" && len(f.alsoKeys) > 0 && f.url[len(f.url)-1] != '/' {
		return &inputError{err: errors.New("--url: with several keys there are several results: want the URL of a folder, with a slash at its end")}
	}
	if !f.register.wanted {
		return nil
	}
	switch {
	case f.url == "":
		return &inputError{err: errors.New("--register needs --url: Capgo is told where the bundle is")}
	case f.deltaOnly:
		return &inputError{err: errors.New("--register: Capgo registers zips only, and --delta-only makes none")}
	case len(f.alsoKeys) > 0:
		return &inputError{
			err:  errors.New("--register: Capgo has one bundle under a version, and with --also-key there are several"),
			hint: "sign first, then register the one that is meant: bundlesign publish",
		}
	}
	key, from, err := publish.FindAPIKey(s.getenv, readFile)
	if err != nil {
		return &inputError{err: fmt.Errorf("--register: %w", err), hint: "npx @capgo/cli login writes it"}
	}
	if f.register.api, err = publish.NewAPI(f.register.at, key, "bundlesign/"+version()); err != nil {
		return &inputError{err: fmt.Errorf("--register (API key of %s): %w", from, err)}
	}
	return nil
}

// register tells Capgo about the bundle.
func (s *signing) register(ctx context.Context, r *signResult) error {
	s.progress.begin("registering", 0)
	already, err := s.f.register.api.Register(ctx, &publish.Registration{
		App: r.AppID, Version: r.Version, URL: r.URL, Checksum: r.Checksum, SessionKey: r.IVSessionKey, KeyID: r.KeyID,
	})
	if err != nil {
		return fmt.Errorf("signed and written, but not registered: %w", err)
	}
	word := "registered"
	if already {
		word = "was registered already"
	}
	s.say("%s %s %s; phones get it when it is in a channel: %s", r.AppID, r.Version, word, publish.ChannelCommand(r.AppID, r.Channel, r.Version))
	return nil
}
