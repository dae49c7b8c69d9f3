// Package project reads bundlesign.yaml, the file that says how the updates of an app are made.
//
// Its invariant is that the file can only name things: an app, channels, files, a socket. Nothing in it runs a
// command, expands a variable or fetches anything, and it is taken exactly as it is written or not at all: what is
// unknown, written twice or of the wrong type is an error with its line and column. The file comes with the
// repository and deserves as much trust as whoever can change that.
package project

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Name is the name of the file.
const Name = "bundlesign.yaml"

// Settings are the settings of one profile, with those of the whole file where the profile says nothing. What the
// file does not set is the zero value. Paths are absolute.
type Settings struct {
	Profile   string // its name; "" if the file has no profiles
	App       string
	Bundle    string // folder or zip
	Version   string
	Channel   string
	Socket    string
	Key       string
	PublicKey string // PEM file
	Output    string // file or folder, within the folder of the project
	URL       string
	Format    string // "hex", "legacy" or ""
	TokenFile string
	LogKey    string
	Wait      string // a duration more than 0, as time.ParseDuration reads it

	Channels []string // the only ones this profile may sign for; empty: any
	AlsoKeys []string
	NoBrotli []string // globs
	Labels   map[string]string
	Delta    bool
}

// Project is a bundlesign.yaml that was read.
type Project struct {
	Path string // of the file, absolute

	top            layer
	profiles       map[string]layer
	defaultProfile string
}

// layer is what one part of the file sets, by the name of the field.
type layer map[string]value

// value is one of these, as the kind of its field says.
type value struct {
	text   string
	list   []string
	labels map[string]string
	on     bool
}

// Profiles returns the names of the profiles, sorted.
func (p *Project) Profiles() []string { return slices.Sorted(maps.Keys(p.profiles)) }

// DefaultProfile returns the name of the profile that is used if none is chosen, or "".
func (p *Project) DefaultProfile() string { return p.defaultProfile }

// Settings returns the settings of a profile; "" is the project's default profile. In a file with profiles one of
// them must be chosen, there or here: what the whole file says is then no more than what they share, and may lack
// the very limits that make a profile safe.
func (p *Project) Settings(profile string) (*Settings, error) {
	if profile == "" {
		profile = p.defaultProfile
	}
	merged := maps.Clone(p.top)
	switch own, ok := p.profiles[profile]; {
	case ok:
		for name, v := range own {
			if v.labels != nil && merged[name].labels != nil {
				both := maps.Clone(merged[name].labels)
				maps.Copy(both, v.labels)
				v.labels = both
			}
			merged[name] = v
		}
	case len(p.profiles) == 0 && profile != "":
		return nil, fmt.Errorf("%s: found no profile %q, and no others", p.Path, profile)
	case profile != "":
		return nil, fmt.Errorf("%s: found no profile %q, want one of %s", p.Path, profile, strings.Join(p.Profiles(), ", "))
	case len(p.profiles) > 0:
		return nil, fmt.Errorf("%s: found no profile chosen, want one of %s: with --profile, BUNDLESIGN_PROFILE, or as \"profile: NAME\" in the file",
			p.Path, strings.Join(p.Profiles(), ", "))
	}
	s := &Settings{Profile: profile}
	for _, f := range fields() {
		f.put(s, merged[f.name])
	}
	return s, nil
}

// Dir returns the folder of the project, absolute.
func (p *Project) Dir() string { return filepath.Dir(p.Path) }
