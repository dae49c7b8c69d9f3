package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
)

// checkConfig reads the configuration of the app.
func (p *patient) checkConfig() {
	const name = "capacitor.config"
	path, err := capconfig.Find(p.dir)
	switch {
	case err != nil:
		p.add(name, checkFailed, "", "%v", err)
		return
	case path == "":
		p.add(name, checkFailed, "name the folder of the app: bundlesign doctor DIR", "found no capacitor.config.ts, .js or .json in %s", p.dir)
		return
	}
	if p.config, err = capconfig.Read(path); err != nil {
		result, do := checkFailed, ""
		if errors.As(err, new(*capconfig.UnclearError)) {
			result, do = checkWarning, "it is not run to find out; what npx cap sync writes into the native projects is looked at instead"
		}
		p.add(name, result, do, "%v", err)
		return
	}
	p.add(name, checkOK, "", "%s, app %s", path, orDash(updatesID(p.config)))
}

// checkKey looks at the key that the app carries.
func (p *patient) checkKey() {
	const name = "public key"
	const install = "bundlesign keys install NAME puts the daemon's key there"
	if p.config == nil {
		p.add(name, checkSkipped, "", "there is no configuration to read")
		return
	}
	if err := p.config.Doubt(capconfig.FieldPublicKey); err != nil {
		p.add(name, checkWarning, "write the key itself into the file, so that it can be checked", "%v", err)
		return
	}
	if p.config.PublicKey == "" {
		p.add(name, checkFailed, install, "there is no %s: the app accepts updates that nobody signed", capconfig.FieldPublicKey)
		return
	}
	key, err := capgo.ParsePublicKeyPEM([]byte(p.config.PublicKey))
	if err != nil {
		p.add(name, checkFailed, install+" (with --force)", "%s: %v", capconfig.FieldPublicKey, err)
		return
	}
	p.key = key
	p.add(name, checkOK, "", "%s, RSA-%d, PKCS#1", key.Fingerprint(), capgo.KeyBits)
}

// The copies of the configuration that npx cap sync makes, which native apps are built with.
var nativeConfigs = [...]string{"android/app/src/main/assets/capacitor.config.json", "ios/App/App/capacitor.config.json"}

// checkNative compares the configuration with what npx cap sync made of it before.
func (p *patient) checkNative() {
	const sync = "run npx cap sync, and release the native app"
	for _, file := range nativeConfigs {
		c, err := capconfig.Read(filepath.Join(p.dir, filepath.FromSlash(file)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			p.add("native project", checkWarning, sync, "%v", err)
			continue
		}
		key, err := capgo.ParsePublicKeyPEM([]byte(c.PublicKey))
		switch {
		case err != nil && p.key == nil:
			p.add("native project", checkFailed, sync, "%s: %s: %v", file, capconfig.FieldPublicKey, err)
		case err != nil:
			p.add("native project", checkWarning, sync, "%s has not the key of the configuration: %v", file, err)
		case p.key == nil:
			p.key = key
			p.add("native project", checkOK, "", "%s has the key %s", file, key.Fingerprint())
		case !p.key.Equal(key):
			p.add("native project", checkWarning, sync, "%s has another key: %s", file, key.Fingerprint())
		default:
			p.add("native project", checkOK, "", "%s has the same key", file)
		}
	}
}

// checkDaemon looks for the app's key among those of the daemon.
func (p *patient) checkDaemon() {
	const name = "daemon"
	if p.flags.offline {
		p.add(name, checkSkipped, "", "--offline")
		return
	}
	var keys []wire.Key
	err := p.ask(func(ctx context.Context, c *client.Client) (err error) {
		keys, err = c.Keys(ctx)
		return err
	})
	if err != nil {
		p.add(name, checkSkipped, hint(err), "%v", err)
		return
	}
	var has *wire.Key
	var mine []string // of this app
	app := p.appID()
	for i := range keys {
		k := &keys[i]
		public, err := publicKeyOf(k)
		if err != nil {
			p.add(name, checkFailed, hint(err), "key %s: %v", k.Name, err)
			return
		}
		p.known = append(p.known, public)
		if p.key != nil && p.key.Equal(public) {
			has = k
		}
		if app != "" && serves(k, app) {
			mine = append(mine, fmt.Sprintf("%s (%s)", k.Name, public.Fingerprint()))
		}
	}
	p.checkNamed(keys, app)
	offers := "it has no key for " + orDash(app)
	if len(mine) > 0 {
		offers = "for " + app + " it has " + strings.Join(mine, ", ")
	}
	switch {
	case p.key == nil && len(mine) > 0:
		p.add(name, checkWarning, "bundlesign keys install NAME", "the app's key is not known; %s", offers)
	case p.key == nil:
		p.add(name, checkWarning, "", "the app's key is not known; %s", offers)
	case has == nil:
		p.add(name, checkFailed, "the app refuses what this daemon signs: install the daemon's key (bundlesign keys install NAME), have the app's key imported (bundlesignd key import), or ask another daemon (--socket)",
			"it does not have the app's key; %s", offers)
	case app != "" && !serves(has, app):
		p.add(name, checkFailed, "have the app added to the key's apps in the daemon's configuration", "the app's key is %s there, which does not sign for %s (its apps: %s)", has.Name, app, orDash(strings.Join(has.Apps, " ")))
	case has.State == "disabled" || has.State == "quarantined" || has.State == "unusable":
		p.add(name, checkFailed, "ask whoever runs bundlesignd", "the app's key is %s there, which is %s: %s", has.Name, has.State, orDash(has.Detail))
	case has.State != "ok" && has.State != "unchecked":
		p.add(name, checkWarning, "bundlesign status says which part is not well", "the app's key is %s there, which is %s: %s", has.Name, has.State, orDash(has.Detail))
	default:
		custody := "custody not known"
		if has.Custody != nil {
			custody = fmt.Sprintf("custody %s (%s)", has.Custody.Level, has.Custody.Backend)
		}
		p.add(name, checkOK, "", "the app's key is %s there: %s, %s", has.Name, has.State, custody)
	}
}

// checkNamed looks for the keys that bundlesign.yaml names among those of the daemon.
func (p *patient) checkNamed(keys []wire.Key, app string) {
	const name = "named keys"
	if p.settings == nil || p.settings.Key == "" && len(p.settings.AlsoKeys) == 0 {
		return
	}
	named := []string{p.settings.Key}
	for _, text := range p.settings.AlsoKeys {
		key, _, _ := strings.Cut(text, "=")
		named = append(named, key)
	}
	for i, key := range named {
		at := slices.IndexFunc(keys, func(k wire.Key) bool { return k.Name == key })
		const ask = "bundlesign keys lists those that it has; correct bundlesign.yaml, or ask whoever runs bundlesignd"
		switch {
		case key == "":
		case at < 0:
			p.add(name, checkFailed, ask, "bundlesign.yaml names the key %s, which the daemon does not have", key)
		case app != "" && !serves(&keys[at], app):
			p.add(name, checkFailed, ask, "bundlesign.yaml names the key %s, which does not sign for %s", key, app)
		case i == 0 && p.key != nil && keys[at].Fingerprint != p.key.Fingerprint():
			p.add(name, checkFailed, ask, "bundlesign.yaml names the key %s, which is not the one that the app has", key)
		default:
			p.add(name, checkOK, "", "the daemon has the key %s", key)
		}
	}
}

// appID is the app that updates are for, as far as it is known.
func (p *patient) appID() string {
	if p.settings != nil && p.settings.App != "" {
		return p.settings.App
	}
	if p.config != nil {
		return updatesID(p.config)
	}
	return ""
}

// checkPin compares the key that bundlesign.yaml pins with that of the app.
func (p *patient) checkPin() {
	const name = "pinned key"
	if p.settings == nil || p.settings.PublicKey == "" {
		return
	}
	pinned, err := (&keyFlags{pem: p.settings.PublicKey}).load()
	switch {
	case err != nil:
		p.add(name, checkFailed, "bundlesign keys NAME --pem prints the daemon's", "%v", err)
	case p.key != nil && !p.key.Equal(pinned):
		p.add(name, checkFailed, "make them the same; while keys are rotated, pin the one that phones have", "public_key is %s, and the app has %s", pinned.Fingerprint(), p.key.Fingerprint())
	default:
		p.add(name, checkOK, "", "%s", pinned.Fingerprint())
	}
}
