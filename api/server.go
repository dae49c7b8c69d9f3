// Package api serves the core over a Unix stream socket: HTTP/1.1 and JSON.
//
// It knows two things that the core does not: who is at the other end of a
// connection, as the kernel says (SO_PEERCRED), and how to turn bytes of a
// stranger into typed submissions. Its invariant is that nothing reaches the
// core that was not decoded strictly and attributed to a peer: unknown members,
// duplicate members, trailing bytes, bodies over the limit and slow senders are
// refused, and each peer's share of connections and requests is bounded.
//
// Every error is a problem document (RFC 9457); problem.go is the one place
// that maps errors to them.
package api

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Core is what the API serves; [signer.Signer] is the real one.
type Core interface {
	Submit(ctx context.Context, sub signer.Submission, who policy.Identity, idempotencyKey string) (*signer.Request, error)
	Wait(ctx context.Context, id string) (*signer.Request, error)
	Request(ctx context.Context, id string) (*signer.Request, error)
	Requests(ctx context.Context, f signer.Filter) ([]*signer.Request, error)
	Progress(id string) (done, of int)
	Cancel(ctx context.Context, id string, who policy.Identity) (*signer.Request, error)
	Receipt(ctx context.Context, r *signer.Request) (*audit.Receipt, error)
	ReceiptAt(ctx context.Context, index int64) (*audit.Receipt, error)
	Log() audit.Reader
	Keys() []signer.KeyStatus
	Key(name string) (signer.KeyStatus, error)
	Status(ctx context.Context) *signer.Status
	KeyAdmin
	Approvals
}

var _ Core = (*signer.Signer)(nil)

// Config bounds what a peer may use.
type Config struct {
	BodyBytes         int64   // of one request
	RequestsPerSecond float64 // per uid, on average
	Burst             int     // per uid, at once
	Connections       int     // per uid, open at once
	LogKey            string  // verifier key of the log, for the status
	// ReadTimeout is how long a client may take to send a request; 0 means 30 s.
	ReadTimeout time.Duration
	// Metrics serves GET /v1/metrics; nil: there are none.
	Metrics http.Handler
	// Tokens checks the tokens of CI jobs; nil: all are refused.
	Tokens Tokens
}

// The patience of the server with its clients.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second // of a whole request
	idleTimeout       = 2 * time.Minute
	maxWait           = time.Minute      // of a long poll
	submitWait        = 10 * time.Second // of POST /v1/signatures, unless it asks otherwise
	writeTimeout      = readTimeout + maxWait + 30*time.Second
	maxHeaderBytes    = 64 << 10
)

// Server answers the API.
type Server struct {
	core   Core
	config Config
	log    *zap.Logger
	peers  *peerLimits
	names  *names
	units  *units
	http   *http.Server

	stopping context.Context // ends long polls
	stop     context.CancelFunc
}

// New makes a server for core.
func New(core Core, config Config, logger *zap.Logger) *Server {
	if config.ReadTimeout == 0 {
		config.ReadTimeout = readTimeout
	}
	s := &Server{core: core, config: config, log: logger, peers: newPeerLimits(config), names: newNames(), units: &units{"/proc", sampled(logger)}}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: min(readHeaderTimeout, config.ReadTimeout),
		ReadTimeout:       config.ReadTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withPeer,
		ErrorLog:          log.New(zap.NewStdLog(logger).Writer(), "http: ", 0),
	}
	return s
}

// Serve accepts connections of l, a listener of Unix stream sockets, until
// Shutdown. It then returns nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&peerListener{Listener: l, limits: s.peers, log: sampled(s.log)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// sampled lets through ten lines of a kind in a second.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 10, 0)
	}))
}

// Shutdown ends long polls, lets other requests finish until ctx ends, and
// closes all connections.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// route is the methods of one path.
type route map[string]func(w http.ResponseWriter, r *http.Request) error

func (s *Server) paths() map[string]route {
	return map[string]route{
		"/v1/signatures":                 {"POST": s.submit, "GET": s.list},
		"/v1/signatures/{id}":            {"GET": s.signature, "DELETE": s.cancel},
		"/v1/signatures/{id}/approvals":  {"POST": s.approve},
		"/v1/signatures/{id}/rejections": {"POST": s.reject},
		"/v1/freezes":                    {"GET": s.freezes, "POST": s.freeze},
		"/v1/freezes/{id}/lifts":         {"POST": s.thaw},
		"/v1/keys":                       {"GET": s.keys},
		"/v1/keys/{name}":                {"GET": s.key},
		"/v1/keys/{name}/check":          {"POST": s.checkKey},
		"/v1/keys/{name}/disable":        {"POST": s.disableKey},
		"/v1/keys/{name}/enable":         {"POST": s.enableKey},
		"/v1/metrics":                    {"GET": s.metrics},
		"/v1/status":                     {"GET": s.status},
		"/v1/log/checkpoint":             {"GET": s.checkpoint},
		"/v1/log/entries":                {"GET": s.entries},
		"/v1/log/entries/{index}":        {"GET": s.entry},
		"/v1/log/operations":             {"POST": s.recordOperation},
		"/v1/log/proof":                  {"GET": s.proof},
		"/v1/log/tile/{level}/{tile...}": {"GET": s.tile},
	}
}

// Routes lists what is served, as "METHOD /path", for documentation to be held
// against.
func Routes() []string {
	var out []string
	for pattern, methods := range new(Server).paths() {
		for method := range methods {
			out = append(out, method+" "+pattern)
		}
	}
	slices.Sort(out)
	return out
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, methods := range s.paths() {
		mux.Handle(pattern, s.handle(methods))
	}
	nothing := s.handle(nil)
	mux.Handle("/", nothing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would answer a path such as //v1/keys by a redirect of its own.
		if r.URL.Path != path.Clean(r.URL.Path) {
			nothing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// handle is what every request goes through.
func (s *Server) handle(methods route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if defect := recover(); defect != nil {
				s.log.Error("defect: please report it", zap.Any("panic", defect), zap.String("path", r.URL.Path), zap.Stack("stack"))
				s.writeError(w, r, errDefect)
			}
		}()
		if err := s.dispatch(w, r, methods); err != nil {
			s.writeError(w, r, err)
		}
	})
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, methods route) error {
	p, ok := peerFrom(r.Context())
	if !ok {
		return errUnknownPeer
	}
	if wait := s.peers.admit(p.uid); wait > 0 {
		return &tooManyError{wait}
	}
	if methods == nil {
		return &notFoundError{r.URL.Path}
	}
	h := methods[r.Method]
	if h == nil {
		return &methodError{r.Method, methods.allowed()}
	}
	if r.Method != http.MethodPost && r.ContentLength != 0 {
		return badBody("found a body, want none for %s", r.Method)
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return badBody("the query %q cannot be read: %v", r.URL.RawQuery, err)
	}
	return h(w, r)
}

// caller names the peer of a request, for a decision about it.
func (s *Server) caller(r *http.Request) (policy.Identity, error) {
	p, ok := peerFrom(r.Context())
	if !ok {
		return policy.Identity{}, errUnknownPeer
	}
	id, err := s.names.identity(p)
	if err != nil {
		s.log.Error("a peer cannot be named", zap.Uint32("uid", p.uid), zap.Error(err))
		return policy.Identity{}, &namelessError{p.uid, err}
	}
	if err := s.addToken(r, &id); err != nil {
		return policy.Identity{}, err
	}
	id.Unit = s.units.of(p) // the last thing, so that it is as true as can be
	return id, nil
}
