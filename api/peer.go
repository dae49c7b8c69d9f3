package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/policy"
)

// peer is the process at the other end of a connection, as it was when it
// connected.
type peer struct {
	identity policy.Identity
	pid      int32
}

type peerKey struct{}

// withPeer is http.Server.ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*peerConn); ok {
		return context.WithValue(ctx, peerKey{}, pc.peer)
	}
	return ctx
}

func peerFrom(ctx context.Context) (*peer, bool) {
	p, ok := ctx.Value(peerKey{}).(*peer)
	return p, ok
}

// names turns numbers into names, through NSS, and remembers them for a while:
// a directory server is asked at most once a minute for each.
type names struct {
	mu     sync.Mutex
	users  map[uint32]cachedName
	groups map[uint32]cachedName
}

type cachedName struct {
	name  string
	until time.Time
}

const (
	nameTTL  = time.Minute
	maxNames = 4096
)

func newNames() *names {
	return &names{users: make(map[uint32]cachedName), groups: make(map[uint32]cachedName)}
}

func (n *names) cached(m map[uint32]cachedName, id uint32, look func(string) (string, error)) string {
	n.mu.Lock()
	c, ok := m[id]
	n.mu.Unlock()
	if ok && time.Now().Before(c.until) {
		return c.name
	}
	name, err := look(strconv.FormatUint(uint64(id), 10))
	if err != nil {
		name = "" // no name: no rule that asks for one matches
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(m) >= maxNames {
		clear(m)
	}
	m[id] = cachedName{name, time.Now().Add(nameTTL)}
	return name
}

func (n *names) user(uid uint32) string {
	return n.cached(n.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *names) group(gid uint32) string {
	return n.cached(n.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// identify asks the kernel who connected. It needs no cooperation of the peer's
// and cannot be influenced by it.
func (n *names) identify(c net.Conn) (*peer, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("found a %T, want a Unix socket", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var gids []uint32
	var credErr, groupErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		gids, groupErr = peerGroups(int(fd))
	})
	if err := errors.Join(err, credErr, groupErr); err != nil {
		return nil, fmt.Errorf("asking the kernel for the peer: %w", err)
	}
	id := policy.Identity{UID: cred.Uid, GID: cred.Gid, User: n.user(cred.Uid)}
	seen := make(map[uint32]bool)
	for _, gid := range append([]uint32{cred.Gid}, gids...) {
		if name := n.group(gid); name != "" && !seen[gid] {
			id.Groups = append(id.Groups, name)
		}
		seen[gid] = true
	}
	return &peer{id, cred.Pid}, nil
}

// peerGroups returns the supplementary groups of the peer (SO_PEERGROUPS, Linux
// 4.13), which x/sys/unix has no wrapper for.
func peerGroups(fd int) ([]uint32, error) {
	gids := make([]uint32, 64)
	for {
		size := uint32(len(gids) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&gids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return gids[:size/4], nil
		case errno == unix.ERANGE && int(size/4) > len(gids):
			gids = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}
