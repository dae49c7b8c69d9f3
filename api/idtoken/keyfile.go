package idtoken

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// keyFile is the keys of an issuer in a file, for places with no way out. The file
// is read again when it has changed. While it cannot be read or is wrong, no token
// of the issuer is believed: somebody may have taken a key out of it.
type keyFile struct {
	conf Issuer
	read func(string, int64) ([]byte, error)
	log  *zap.Logger

	mu   sync.Mutex
	seen fileVersion
	keys *keySet // nil: not read, or wrong
	said string  // the last complaint, which is logged once
}

// fileVersion changes when a file is written, replaced, or given other permissions.
type fileVersion struct {
	dev, ino         uint64
	size             int64
	written, changed syscall.Timespec
}

func newKeyFile(conf Issuer, read func(string, int64) ([]byte, error), log *zap.Logger) *keyFile {
	return &keyFile{conf: conf, read: read, log: log}
}

var _ keySource = (*keyFile)(nil)

func (f *keyFile) find(_ context.Context, kid, alg string) (keys, error) {
	set, err := f.current()
	if err != nil {
		return nil, &UnavailableError{f.conf.Name, "its jwks_file cannot be used; the daemon's log says why", askEvery}
	}
	if found := set.find(kid, alg); len(found) > 0 {
		return found, nil
	}
	return nil, refused("the jwks_file of issuer %s has no key %s for %s: is it up to date?", f.conf.Name, quote(kid), alg)
}

func (f *keyFile) current() (*keySet, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The version is taken first: what changes after it is seen the next time.
	version, err := versionOf(f.conf.JWKSFile)
	if err == nil && f.keys != nil && version == f.seen {
		return f.keys, nil
	}
	f.keys = nil
	var data []byte
	if err == nil {
		data, err = f.read(f.conf.JWKSFile, maxJWKS)
	}
	if err == nil {
		f.keys, err = parseKeySet(data)
	}
	if err != nil {
		if said := err.Error(); said != f.said {
			f.said = said
			f.log.Error("the keys of a token issuer cannot be read: its tokens are refused", zap.String("jwks_file", f.conf.JWKSFile), zap.Error(err))
		}
		return nil, err
	}
	if f.said != "" {
		f.log.Info("the keys of a token issuer can be read again", zap.String("jwks_file", f.conf.JWKSFile))
	}
	f.seen, f.said = version, ""
	if !version.settled(time.Now()) {
		f.seen = fileVersion{}
	}
	return f.keys, nil
}

// settled reports whether a further change would change the version: file systems
// count time in steps, some of them two seconds long. Until then the file is read
// each time.
func (v fileVersion) settled(now time.Time) bool {
	return now.Sub(time.Unix(v.changed.Unix())) > 3*time.Second
}

func versionOf(path string) (fileVersion, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileVersion{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileVersion{}, errors.New("the system does not say which version of the file this is")
	}
	return fileVersion{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}, nil
}
