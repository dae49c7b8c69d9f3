package main

import (
	"fmt"
	"os/user"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// account is a user of this machine as the kernel knows one.
type account struct {
	uid, gid int
	groups   []int
}

// lookupAccount finds a user by name.
func lookupAccount(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	a := new(account)
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("user %s has the id %q, want a number", name, u.Uid)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("user %s has the group %q, want a number", name, u.Gid)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("finding the groups of %s: %w", name, err)
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("user %s is in the group %q, want a number", name, id)
		}
		a.groups = append(a.groups, gid)
	}
	return a, nil
}

// do calls f with what the user may do to files, and no more. The kernel has that
// for each thread (credentials(7)): f gets one of its own, which ends with f, so
// that no other part of the program ever runs on it. Only root can do this.
func (a *account) do(f func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: Go then ends the thread
		err := a.become()
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

// become changes the file credentials of the calling thread. With the user id,
// the kernel also takes away root's power to pass over permissions
// (capabilities(7)).
func (a *account) become() error {
	if err := unix.Setgroups(a.groups); err != nil {
		return fmt.Errorf("taking the groups of uid %d: %w", a.uid, err)
	}
	// These calls tell what was, not whether it worked: asked again, they do.
	_, _ = unix.SetfsgidRetGid(a.gid)
	_, _ = unix.SetfsuidRetUid(a.uid)
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if uid != a.uid || gid != a.gid {
		return fmt.Errorf("becoming uid %d with group %d: the kernel refused", a.uid, a.gid)
	}
	return nil
}
