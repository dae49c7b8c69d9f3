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

// peer is the process at the other end of a connection, in the kernel's numbers,
// as it was when it connected.
type peer struct {
	uid, gid uint32
	gids     []uint32 // supplementary
	pid      int32
	// process is the process that connected, or nil if there is no hold of it;
	// noProcess then says why.
	process   *process
	noProcess error
}

// close lets go of the process. It can be called while others ask for its unit.
func (p *peer) close() error {
	if p.process == nil {
		return nil
	}
	return p.process.close()
}

// maxGroups is how many groups a peer may have. Each has to be looked up by name,
// so that somebody with tens of thousands of them could keep a directory busy.
const maxGroups = 1024

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

// askKernel tells who connected. It needs no cooperation of the peer's, cannot be
// influenced by it, and does not wait for anything. The peer is to be closed with
// the connection.
func askKernel(c net.Conn) (*peer, error) {
	accepted, err := bootNanoseconds()
	if err != nil {
		return nil, err
	}
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
	p := new(peer)
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		gids, groupErr = peerGroups(int(fd))
		if credErr == nil && groupErr == nil {
			p.process, p.noProcess = peerProcess(int(fd), cred.Pid, accepted)
		}
	})
	if passing(p.noProcess) {
		err = errors.Join(err, p.noProcess)
	}
	if err := errors.Join(err, credErr, groupErr); err != nil {
		return nil, errors.Join(fmt.Errorf("asking the kernel for the peer: %w", err), p.close())
	}
	p.uid, p.gid, p.gids, p.pid = cred.Uid, cred.Gid, gids, cred.Pid
	return p, nil
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

// cached asks look once in a while for each id. An id without a name is "";
// a directory that does not answer is an error, and is asked again next time.
func (n *names) cached(m map[uint32]cachedName, id uint32, look func(string) (string, error)) (string, error) {
	n.mu.Lock()
	c, ok := m[id]
	n.mu.Unlock()
	if ok && time.Now().Before(c.until) {
		return c.name, nil
	}
	name, err := look(strconv.FormatUint(uint64(id), 10))
	var noUser user.UnknownUserIdError
	var noGroup user.UnknownGroupIdError
	if err != nil && !errors.As(err, &noUser) && !errors.As(err, &noGroup) {
		return "", fmt.Errorf("looking up the name of id %d: %w", id, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(m) >= maxNames {
		clear(m)
	}
	m[id] = cachedName{name, time.Now().Add(nameTTL)}
	return name, nil
}

func (n *names) user(uid uint32) (string, error) {
	return n.cached(n.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *names) group(gid uint32) (string, error) {
	return n.cached(n.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// identity gives a peer its names. It may wait for a directory, so it is asked
// in the peer's own time, not while others wait to connect. It fails if a
// name cannot be told: a rule that denies by name must not be escaped that way.
func (n *names) identity(p *peer) (policy.Identity, error) {
	if len(p.gids) > maxGroups {
		return policy.Identity{}, fmt.Errorf("it has %d groups, at most %d are looked up", len(p.gids), maxGroups)
	}
	id := policy.Identity{UID: p.uid, GID: p.gid}
	var err error
	if id.User, err = n.user(p.uid); err != nil {
		return policy.Identity{}, err
	}
	seen := make(map[uint32]bool, len(p.gids)+1)
	for _, gid := range append([]uint32{p.gid}, p.gids...) {
		if seen[gid] {
			continue
		}
		seen[gid] = true
		name, err := n.group(gid)
		if err != nil {
			return policy.Identity{}, err
		}
		if name != "" {
			id.Groups = append(id.Groups, name)
		}
	}
	return id, nil
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
