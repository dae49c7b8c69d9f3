package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/leftover"
)

// maxListed is how many keys are told of one by one.
const maxListed = 20

// What to do about a private key that signs updates and that others may have.
const lost = "whoever has a copy can sign updates: make a new key in the daemon, rotate to it (docs/releases.md), and do not go on with this one"

// checkV1 looks for encryption V1, in which each app has the private key.
func (p *patient) checkV1() {
	const name = "encryption V1"
	const remove = "remove it: it is dead, and the private key was in each app that was built with it"
	if p.config == nil {
		p.add(name, checkSkipped, "", "there is no configuration to read")
		return
	}
	switch err := p.config.Doubt(capconfig.FieldPrivateKey); {
	case p.config.PrivateKey != "":
		p.add(name, checkFailed, remove, "%s has a privateKey", p.config.Path)
	case err != nil:
		p.add(name, checkWarning, remove+", if it is there", "%v", err)
	default:
		p.add(name, checkOK, "", "no privateKey in %s", p.config.Path)
	}
}

// The files in which the official CLI keeps private keys: of now, and of encryption V1.
const (
	keyFile   = ".capgo_key_v2"
	keyFileV1 = ".capgo_key"
)

// judge says what a private key that was found means.
func (p *patient) judge(k *leftover.Key) (result, text, do string) {
	base := filepath.Base(k.Where)
	switch {
	case k.Public != nil && p.key != nil && p.key.Equal(k.Public):
		return checkFailed, "the private half of the app's key", lost
	case k.Public != nil && p.isKnown(k.Public):
		return checkFailed, "the private half of a key of the daemon", lost
	case base == keyFile:
		return checkFailed, "a private key of the official CLI", "if apps carry its public half, import it (bundlesignd key import) and destroy the copies; else remove it"
	case base == keyFileV1:
		return checkFailed, "a private key of encryption V1", "remove it: encryption V1 is dead"
	}
	return checkWarning, "a private key (" + k.Kind + ")", "if it is a secret, it does not belong here"
}

func (p *patient) isKnown(public *capgo.PublicKey) bool {
	for _, k := range p.known {
		if k.Equal(public) {
			return true
		}
	}
	return false
}

// checkFiles searches the files of the project.
func (p *patient) checkFiles() {
	const name = "private keys in files"
	ctx, cancel := context.WithTimeout(p.ctx, maxSearch)
	defer cancel()
	d, err := leftover.OnDisk(ctx, p.dir)
	if err != nil {
		p.add(name, checkWarning, "", "not all of %s could be searched: %v", p.dir, err)
	}
	p.tell(name, d.Keys, func(k *leftover.Key) string { return k.Where })
	switch {
	case len(d.Unread) > 0:
		p.add(name, checkWarning, "", "%d files could not be read, such as %s", len(d.Unread), d.Unread[0])
	case !d.Complete:
		p.add(name, checkWarning, "", "only %d files were searched", d.Files)
	case err == nil && len(d.Keys) == 0:
		p.add(name, checkOK, "", "none in %d files", d.Files)
	}
}

// checkHistory searches the git repository.
func (p *patient) checkHistory() {
	const name = "private keys in git"
	ctx, cancel := context.WithTimeout(p.ctx, maxSearch)
	defer cancel()
	h, err := leftover.InHistory(ctx, p.dir)
	switch {
	case errors.Is(err, leftover.ErrNoGit), errors.Is(err, leftover.ErrNoRepository):
		p.add(name, checkSkipped, "", "%v", err)
		return
	case err != nil:
		p.add(name, checkWarning, "", "the history could not be searched: %v", err)
	}
	if h == nil {
		return
	}
	p.tell(name, h.Keys, func(k *leftover.Key) string { return fmt.Sprintf("%s (blob %.12s)", k.Where, k.Object) })
	switch {
	case h.Shallow:
		p.add(name, checkWarning, "run this in a full clone", "this clone has not all of the history; %d files of it were searched", h.Blobs)
	case !h.Complete:
		p.add(name, checkWarning, "", "only %d files of the history were searched", h.Blobs)
	case err == nil && len(h.Keys) == 0:
		p.add(name, checkOK, "", "none in %d files of the history", h.Blobs)
	}
}

// tell reports keys, the worst first.
func (p *patient) tell(name string, keys []leftover.Key, where func(*leftover.Key) string) {
	told := 0
	for _, want := range []string{checkFailed, checkWarning} {
		for i := range keys {
			result, text, do := p.judge(&keys[i])
			if result != want {
				continue
			}
			if told++; told > maxListed {
				p.add(name, result, "", "%d keys in all", len(keys))
				return
			}
			p.add(name, result, do, "%s: %s", where(&keys[i]), text)
		}
	}
}
