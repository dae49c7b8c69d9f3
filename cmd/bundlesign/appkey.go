package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
)

// pin is the public key that an app carries, and who says so.
type pin struct {
	key  *capgo.PublicKey
	from string // a file
}

// appKey returns the key that an answer must be made with: the one that was
// named, or else that of the project. Outside of a project nobody may know it:
// the pin is nil then, and so it is if nothing was said of any.
//
// In a project it fails if there is no key: what is not checked against the app's
// own key is only known to fit itself.
func (a *app) appKey(f *keyFlags, app string) (*pin, error) {
	if key, err := f.load(); key != nil || err != nil {
		return &pin{key, f.pem + f.capacitor}, err
	}
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	config, err := capconfig.Find(s.dir)
	if err != nil {
		return nil, &inputError{err: err}
	}
	if config == "" {
		if s.file != "" {
			return nil, &inputError{
				err:  fmt.Errorf("found no public key of the app: %s names none, and there is no capacitor.config beside it", s.file),
				hint: "set public_key in bundlesign.yaml, or give --public-key",
			}
		}
		return nil, nil
	}
	return keyOfProject(config, app)
}

// keyOfProject is the key in the capacitor.config of a project.
func keyOfProject(path, app string) (*pin, error) {
	c, err := capconfig.Read(path)
	if err != nil {
		return nil, &inputError{err: err, hint: "give the key with --public-key, or pin it as public_key in bundlesign.yaml"}
	}
	computed := c.Doubt(capconfig.FieldAppID) != nil || c.Doubt(capconfig.FieldUpdaterAppID) != nil
	if id := updatesID(c); app != "" && id != "" && id != app && !computed {
		return nil, &inputError{
			err:  fmt.Errorf("%s is of the app %s, and %s is to be signed: which key does that app have?", path, id, app),
			hint: "give the key with --public-key, or pin it as public_key in bundlesign.yaml",
		}
	}
	if err := c.Doubt(capconfig.FieldPublicKey); err != nil {
		return nil, &inputError{err: err, hint: "give the key with --public-key, or pin it as public_key in bundlesign.yaml"}
	}
	if c.PublicKey == "" {
		return nil, &inputError{
			err:  fmt.Errorf("found no plugins.CapacitorUpdater.publicKey in %s: phones with this app accept updates that nobody signed", path),
			hint: "bundlesign keys install NAME puts it there; if the key comes from elsewhere, give it with --public-key",
		}
	}
	key, err := capgo.ParsePublicKeyPEM([]byte(c.PublicKey))
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("%s: plugins.CapacitorUpdater.publicKey: %w", path, err)}
	}
	return &pin{key, path}, nil
}

// rotatedKey is one more key that a request is signed with.
type rotatedKey struct {
	name   string
	key    *capgo.PublicKey
	format capgo.ChecksumFormat // "": that of the request
}

// parseRotatedKey reads NAME=FILE or NAME=FILE,FORMAT. Each of the keys is pinned:
// the app of the other key's native versions is not the one in this folder.
func parseRotatedKey(text string) (rotatedKey, error) {
	fail := func(err error) (rotatedKey, error) {
		return rotatedKey{}, &inputError{err: fmt.Errorf("--also-key: %w", err)}
	}
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || rest == "" {
		return fail(fmt.Errorf("found %q, want NAME=FILE, the key's name and a PEM file with its public half", text))
	}
	out := rotatedKey{name: name}
	file, format, given := strings.Cut(rest, ",")
	if given {
		f, err := capgo.ParseChecksumFormat(format)
		if err != nil {
			return fail(fmt.Errorf("form of the checksum of %s: %w", name, err))
		}
		out.format = f
	}
	if file == "" {
		return fail(errors.New("found no file, want NAME=FILE"))
	}
	var err error
	if out.key, err = (&keyFlags{pem: file}).load(); err != nil {
		return fail(err)
	}
	return out, nil
}
