package project

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// absolute completes a path, which is as from the folder of the file.
func (r *reader) absolute(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(r.dir, s)
}

// within completes a path that must not leave the folder of the project, not through symbolic links either: what is
// written there replaces files, and a repository must not choose which of the user's.
func (r *reader) within(s string) (string, error) {
	full := r.absolute(s)
	outside := fmt.Errorf("found %s, which is outside of the folder of %s; want a place in it, or --output, which can name any", quote(s), Name)
	if !inside(r.dir, full) {
		return "", outside
	}
	root, err := filepath.EvalSymlinks(r.dir)
	if err != nil {
		return "", err
	}
	// What does not exist yet cannot be a link.
	for at := full; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(at); err == nil {
				return "", outside // a link that leads nowhere yet
			}
			continue
		}
		if err != nil {
			return "", err
		}
		if !inside(root, real) {
			return "", outside
		}
		if strings.HasSuffix(s, "/") {
			full += "/" // it is a folder, also if it is not there yet
		}
		return full, nil
	}
}

func inside(dir, name string) bool {
	rel, err := filepath.Rel(dir, name)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// socket completes the path of a socket. A URL is for ssh, whose program must take no part of it for an option.
func (r *reader) socket(s string) (string, error) {
	if !strings.Contains(s, "://") {
		return r.absolute(s), nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ssh" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("found %s, want a path or ssh://[USER@]HOST[:PORT][/PATH]", quote(s))
	}
	if _, secret := u.User.Password(); secret {
		return "", errors.New("found a password, want ssh://[USER@]HOST[:PORT][/PATH] and a key for ssh")
	}
	if host := u.Hostname(); host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(u.User.Username(), "-") {
		return "", fmt.Errorf("found %s, whose host or user is missing or would be an option of ssh; want ssh://[USER@]HOST[:PORT][/PATH]", quote(s))
	}
	return s, nil
}
