package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/policy"
)

// checkStateDir reports why the daemon could not keep its state where it is
// told to. What may be done to the folder is asked of the kernel, as whoever runs
// this: the owner and mode of one folder do not tell it.
func (l *loader) checkStateDir(path string) {
	if !l.ok("state_dir") {
		return
	}
	repair := fmt.Sprintf("install -d -m 700 -o %s %s", l.trust.user(), ShellQuote(path))
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		l.errorf("state_dir", "found no folder %s, make it: %s", path, repair)
		return
	case errors.Is(err, os.ErrPermission):
		l.errorf("state_dir", "%v", l.trust.blocked(path, false))
		return
	case err != nil:
		l.errorf("state_dir", "%v; want a folder: %s", err, repair)
		return
	case !st.IsDir():
		l.errorf("state_dir", "found %s, which is not a folder; move it away, then: %s", path, repair)
		return
	}
	var raw unix.Stat_t
	if err := unix.Stat(path, &raw); err != nil {
		l.errorf("state_dir", "looking at %s: %v", path, err)
		return
	}
	if int64(raw.Uid) != int64(l.trust.uid) {
		l.errorf("state_dir", "found %s owned by %s, want %s, as whom the daemon runs: %s", path, nameOfUID(int(raw.Uid)), nameOfUID(l.trust.uid), repair)
		return
	}
	if raw.Mode&0o077 != 0 {
		l.errorf("state_dir", "found %s with mode %04o, want 0700, the daemon's alone: %s", path, raw.Mode&0o7777, repair)
		return
	}
	if err := access(path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		l.errorf("state_dir", "found %s, which %s may not write (%v), want a folder that it may: %s", path, nameOfUID(l.trust.uid), err, repair)
		return
	}
	l.checkStateFiles(path)
}

// checkStateFiles finds what another user left in the folder: a daemon that was
// once started as root leaves a database that its own user cannot open.
func (l *loader) checkStateFiles(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.errorf("state_dir", "reading %s: %v", dir, err)
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Type().IsRegular() && errors.Is(access(path, unix.R_OK|unix.W_OK), unix.EACCES) {
			l.errorf("state_dir", "found %s, which %s may not read and write: chown -R %s %s", path, nameOfUID(l.trust.uid), l.trust.user(), ShellQuote(dir))
			return
		}
	}
}

// checkSocketDir warns if the daemon could not make its socket. Under socket
// activation it need not, and that cannot be told from here.
func (l *loader) checkSocketDir(path string) {
	if !l.ok("socket.path") {
		return
	}
	dir := filepath.Dir(path)
	err := access(dir, unix.W_OK|unix.X_OK)
	if err == nil {
		return
	}
	l.warnf("socket.path", "%s could not make the socket in %s (%v); have systemd make it (systemctl enable --now bundlesignd.socket), or: install -d -m 755 -o %s %s",
		nameOfUID(l.trust.uid), dir, err, l.trust.user(), ShellQuote(dir))
}

// checkKeyFile reports why a private key in a file cannot be read. The key is
// not looked at.
func (l *loader) checkKeyFile(c *Config, i int, keyFile func(string) (string, bool)) {
	l.checkOneKeyFile(fmt.Sprintf("keys[%d].uri", i), c.Keys[i].URI, keyFile)
	for j, uri := range c.Keys[i].Replicas {
		l.checkOneKeyFile(fmt.Sprintf("keys[%d].replicas[%d]", i, j), uri, keyFile)
	}
}

func (l *loader) checkOneKeyFile(field, uri string, keyFile func(string) (string, bool)) {
	if !l.ok(field) {
		return
	}
	path, ok := keyFile(uri)
	if !ok {
		return
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSymlink != 0 {
		l.errorf(field, "found %s, which is a symbolic link; a private key is read from the file itself: name that", path)
		return
	}
	clear(l.read(field, path, maxKeyFile, true))
}

// warnUnknownNames warns of users and groups that the policy names in full and that
// are not there: a rule that allows them allows nobody, one that denies them denies
// nobody, and an account of theirs is nobody's.
func warnUnknownNames(r *report, doc *policy.Document) {
	for i := range doc.Rules {
		warnUnknownUsers(r, ruleField(i, "users"), doc.Rules[i].Users)
		warnUnknownGroups(r, ruleField(i, "groups"), doc.Rules[i].Groups)
	}
	warnUnknownUsers(r, "freezes.users", doc.Freezes.Users)
	warnUnknownGroups(r, "freezes.groups", doc.Freezes.Groups)
	for _, person := range slices.Sorted(maps.Keys(doc.Accounts)) {
		var users []policy.Glob
		for _, name := range doc.Accounts[person].Users {
			users = append(users, policy.Glob(name))
		}
		warnUnknownUsers(r, "people.accounts."+person+".users", users)
	}
}

func warnUnknownUsers(r *report, field string, names []policy.Glob) {
	for i, name := range names {
		var unknown user.UnknownUserError
		if _, err := user.Lookup(string(name)); inFull(name) && errors.As(err, &unknown) {
			r.warnf(fmt.Sprintf("%s[%d]", field, i), "there is no user %q on this machine", name)
		}
	}
}

func warnUnknownGroups(r *report, field string, names []policy.Glob) {
	for i, name := range names {
		var unknown user.UnknownGroupError
		if _, err := user.LookupGroup(string(name)); inFull(name) && errors.As(err, &unknown) {
			r.warnf(fmt.Sprintf("%s[%d]", field, i), "there is no group %q on this machine", name)
		}
	}
}

// inFull reports whether a pattern is the name of one.
func inFull(pattern policy.Glob) bool { return !strings.Contains(string(pattern), "*") }

// access asks the kernel as it would decide: by the effective user, not the real
// one.
func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}

// blocked says what keeps the daemon's user from a path: a folder on the way, or
// else what the path names.
func (t trust) blocked(path string, private bool) error {
	for i := range path {
		if path[i] != '/' {
			continue
		}
		folder := path[:max(i, 1)]
		if errors.Is(access(folder, unix.X_OK), unix.EACCES) {
			return fmt.Errorf("found %s, through which %s may not go to %s: chmod a+x %s, or put it elsewhere",
				folder, nameOfUID(t.uid), path, ShellQuote(folder))
		}
	}
	repair := "chmod a+r " + ShellQuote(path)
	if private {
		repair = "chown " + t.user() + " " + ShellQuote(path)
	}
	return fmt.Errorf("found %s, which %s may not read: %s", path, nameOfUID(t.uid), repair)
}

// user is the daemon's user as commands take it.
func (t trust) user() string {
	if u, err := user.LookupId(strconv.Itoa(t.uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(t.uid)
}
