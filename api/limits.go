package api

import (
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/bundlesign/bundlesign/api/wire"
)

// maxLimiters bounds the memory that strangers with many uids can take.
const maxLimiters = 1024

// peerLimits keeps each uid to its share, so that none can starve another.
type peerLimits struct {
	config Config

	mu       sync.Mutex
	limiters map[uint32]*rate.Limiter
	open     map[uint32]int
}

func newPeerLimits(c Config) *peerLimits {
	return &peerLimits{config: c, limiters: make(map[uint32]*rate.Limiter), open: make(map[uint32]int)}
}

// admit takes one request out of a uid's share. It returns how long to wait
// if there is none left.
func (l *peerLimits) admit(uid uint32) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.limiters[uid]
	if lim == nil {
		if len(l.limiters) >= maxLimiters {
			l.evict()
		}
		lim = rate.NewLimiter(rate.Limit(l.config.RequestsPerSecond), l.config.Burst)
		l.limiters[uid] = lim
	}
	r := lim.Reserve()
	if wait := r.Delay(); wait > 0 {
		r.Cancel()
		return wait
	}
	return 0
}

// evict makes room: first those whose share is whole again, for whom nothing is
// forgotten by it, and if there are none, all.
func (l *peerLimits) evict() {
	for u, old := range l.limiters {
		if old.Tokens() >= float64(l.config.Burst) {
			delete(l.limiters, u)
		}
	}
	if len(l.limiters) >= maxLimiters {
		clear(l.limiters)
	}
}

func (l *peerLimits) connect(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= l.config.Connections {
		return false
	}
	l.open[uid]++
	return true
}

func (l *peerLimits) disconnect(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid]--; l.open[uid] <= 0 {
		delete(l.open, uid)
	}
}

// peerListener lets in who the kernel can name and who has connections left.
type peerListener struct {
	net.Listener
	limits *peerLimits
	log    *zap.Logger // sampled: a stranger must not fill the log
}

// Accept implements [net.Listener].
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := askKernel(c)
		if err != nil {
			l.log.Warn("connection refused: its peer is unknown", zap.Error(err))
			_ = c.Close()
			continue
		}
		if !l.limits.connect(p.uid) {
			l.log.Warn("connection refused: its peer has too many", zap.Uint32("uid", p.uid), zap.Int32("pid", p.pid))
			_ = p.close()
			refuse(c, l.limits.config.Connections)
			continue
		}
		return &peerConn{Conn: c, peer: p, limits: l.limits}, nil
	}
}

// refuse answers a connection that is one too many, without reading from it.
func refuse(c net.Conn, limit int) {
	body := encodeProblem(&wire.Problem{
		Type: wire.ProblemTooMany, Title: "Too many connections", Status: 429, RetryAfter: 1,
		Detail: fmt.Sprintf("your uid has %d connections open, which is the limit (limits.connections); close some or wait", limit),
	})
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s",
		wire.MediaTypeProblem, len(body), body)
	_ = c.Close()
}

// peerConn is a connection whose peer is known.
type peerConn struct {
	net.Conn
	peer   *peer
	limits *peerLimits
	once   sync.Once
}

// Close gives the connection back to the peer's share, and lets go of the peer.
func (c *peerConn) Close() error {
	c.once.Do(func() {
		c.limits.disconnect(c.peer.uid)
		_ = c.peer.close()
	})
	return c.Conn.Close()
}
