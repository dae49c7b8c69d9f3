// Package updater finds out which release of @capgo/capacitor-updater an app has, and what that release can do.
//
// It looks where the official CLI looks, in its order: what is installed, then what package.json asks for. Its
// invariant is that a release is named only if a file says so: a range says no more than the least release that is in it, and
// [Installed.AtLeast] tells. Nothing is executed, and no package manager is asked.
package updater

import (
	"golang.org/x/mod/semver"

	"github.com/bundlesign/bundlesign/capgo"
)

// Package is the name of the updater on npm.
const Package = "@capgo/capacitor-updater"

// Installed is the updater that an app has.
type Installed struct {
	Version string // semantic version, such as "8.51.23"
	From    string // the file that says so
	// AtLeast tells that the package is not installed here, and that package.json has a range: what the app is
	// built with is Version or something newer.
	AtLeast bool
}

// FirstWithSessionKeyRequired is the first release that refuses an update without session_key when the app has a
// public key. With an older one an update server can leave it out, and have unsigned code installed.
const FirstWithSessionKeyRequired = "8.51.23"

// Format is the form of checksum that this release understands: hex from 5.30.0, 6.30.0, 7.30.0 and 8 on. The
// official CLI compares the majors 5 to 7 and takes hex for what is older, too; here that is legacy, because no
// release before 5.30.0 knows hex.
func (i *Installed) Format() capgo.ChecksumFormat {
	if i.from("5.30.0", "6.30.0", "7.30.0") {
		return capgo.FormatHex
	}
	return capgo.FormatLegacy
}

// FormatInDoubt reports whether Format is that of the least release of a range that has releases with the other
// form, too.
func (i *Installed) FormatInDoubt() bool { return i.AtLeast && i.Format() == capgo.FormatLegacy }

// Delta reports whether this release can install delta updates: 5.10.0, 6.25.0, 7.0.30 and 8 on, as the official
// CLI has it.
func (i *Installed) Delta() bool { return i.from("5.10.0", "6.25.0", "7.0.30") }

// RequiresSessionKey reports whether this release refuses an update without session_key when the app has a public
// key. See [FirstWithSessionKeyRequired].
func (i *Installed) RequiresSessionKey() bool { return i.compare(FirstWithSessionKeyRequired) >= 0 }

// from reports whether this release has something that came with these releases of 5, 6 and 7.
func (i *Installed) from(five, six, seven string) bool {
	switch semver.Major("v" + i.Version) {
	case "v5":
		return i.compare(five) >= 0
	case "v6":
		return i.compare(six) >= 0
	case "v7":
		return i.compare(seven) >= 0
	}
	return i.compare("8.0.0-0") >= 0
}

func (i *Installed) compare(version string) int { return semver.Compare("v"+i.Version, "v"+version) }

// release returns a full semantic version without its build metadata.
func release(s string) (string, bool) {
	v := "v" + s
	if semver.Canonical(v)+semver.Build(v) != v { // also of "" and of short forms such as "8.5"
		return "", false
	}
	return semver.Canonical(v)[1:], true
}
