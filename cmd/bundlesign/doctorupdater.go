package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/updater"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// checkUpdater looks at the release of the updater, and at what it can do.
func (p *patient) checkUpdater() {
	const name, session = "updater", "session key"
	const update = "install " + updater.FirstWithSessionKeyRequired + " or later, and release the native app"
	u, err := updater.Find(p.dir, p.flags.packageJSON)
	switch {
	case errors.As(err, new(*updater.UnclearError)):
		p.add(name, checkWarning, "install the packages (npm ci), and run this again", "%v", err)
		return
	case err != nil:
		p.add(name, checkFailed, "", "%v", err)
		return
	case u == nil:
		p.add(name, checkFailed, "npm install "+updater.Package+", or name the app's package.json with --package-json", "found no %s in node_modules, the native projects and package.json", updater.Package)
		return
	}
	version, delta := u.Version, "delta updates"
	if u.AtLeast {
		version = "at least " + version
	}
	if !u.Delta() {
		delta = "no delta updates"
	}
	result, do := checkOK, ""
	if u.AtLeast {
		result, do = checkWarning, "it is only a range: install the packages (npm ci), and run this again"
		if u.FormatInDoubt() {
			do += "; a later release has the other form"
		}
	}
	p.add(name, result, do, "%s %s (%s): checksums in %s form, %s", updater.Package, version, u.From, u.Format(), delta)
	if u.Format() == capgo.FormatLegacy && p.settings != nil && p.settings.Format == string(capgo.FormatHex) {
		p.add("format", checkFailed, "remove format from bundlesign.yaml", "bundlesign.yaml says hex, which this updater does not understand")
	}
	if u.RequiresSessionKey() {
		p.add(session, checkOK, "", "an update without session_key is refused")
		return
	}
	older := "is"
	if u.AtLeast {
		older = "may be"
	}
	p.add(session, checkWarning, update, "%s %s older than %s: an update server can leave out the session key and have unsigned code installed, and no signature protects against that",
		version, older, updater.FirstWithSessionKeyRequired)
}

// checkBundle looks at the built web app.
func (p *patient) checkBundle() {
	const name = "bundle"
	path := filepath.Join(p.dir, capconfig.DefaultWebDir)
	switch {
	case p.settings != nil && p.settings.Bundle != "":
		path = p.settings.Bundle
	case p.config != nil && p.config.WebDir != "":
		path = p.config.WebDir
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
	case p.config != nil && p.config.Doubt(capconfig.FieldWebDir) != nil:
		p.add(name, checkSkipped, "", "%v", p.config.Doubt(capconfig.FieldWebDir))
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, maxSearch)
	defer cancel()
	found, err := inspect(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add(name, checkSkipped, "build the web app first", "%v", err)
		return
	case err != nil:
		p.add(name, checkFailed, "", "%v", err)
		return
	case found.IndexHTML == "":
		p.add(name, checkFailed, "name the folder of the built web app: bundle in bundlesign.yaml, or webDir", "%s has no index.html where the updater looks: %s", path, found.IndexProblem)
		return
	case !found.CallsNotifyAppReady:
		p.add(name, checkWarning, "call CapacitorUpdater.notifyAppReady() when the app has started", "%s: no script calls notifyAppReady: phones would go back to the version before", path)
		return
	}
	p.add(name, checkOK, "", "%s has %s, and calls notifyAppReady", path, found.IndexHTML)
}

// inspect opens a folder or a zip, and looks for what the updater needs.
func inspect(ctx context.Context, path string) (*webapp.Findings, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var app *webapp.App
	if info.IsDir() {
		app, err = webapp.OpenFolder(ctx, path)
	} else {
		var b *bundle
		if b, err = openBundle(path); err != nil {
			return nil, err
		}
		defer b.Close()
		app, err = webapp.OpenZip(path, b.file, info.Size())
	}
	if err != nil {
		return nil, err
	}
	return app.Check(ctx)
}
