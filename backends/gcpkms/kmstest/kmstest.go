// Package kmstest is a Cloud KMS of our own for tests: a gRPC server on the
// loopback that does with real keys what the service documents for the calls that
// the backend makes, and has bad days on demand.
//
// It stands in because the real service cannot be had in a test. What it does is
// taken from the comments of google/cloud/kms/v1/service.proto and resources.proto;
// where those leave something open it is strict.
package kmstest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Server is a Cloud KMS. It ends with the test.
type Server struct {
	kmspb.UnimplementedKeyManagementServiceServer

	t    testing.TB
	addr string
	cert *tls.Certificate // nil: plain text

	mu        sync.Mutex
	versions  map[string]*version
	denied    map[string]bool
	authorize func(token string) bool
	faults    []*Fault
	calls     map[string]int
	inside    int
	most      int

	serving *grpc.Server // nil when stopped
	served  chan struct{}
	frozen  *valve
}

// New starts a server that speaks plain text and asks for no credentials.
func New(t testing.TB) *Server {
	t.Helper()
	return start(t, nil)
}

// NewTLS starts a server that speaks TLS, with a certificate that only its own
// [Server.ClientOptions] trust, and lets in only who sends a bearer token that
// authorize accepts.
func NewTLS(t testing.TB, authorize func(token string) bool) *Server {
	t.Helper()
	s := start(t, certificate(t))
	s.authorize = authorize
	return s
}

func start(t testing.TB, cert *tls.Certificate) *Server {
	t.Helper()
	s := &Server{
		t: t, addr: "127.0.0.1:0", cert: cert,
		versions: map[string]*version{}, denied: map[string]bool{}, calls: map[string]int{},
		frozen: newValve(),
	}
	s.Start()
	t.Cleanup(func() { s.frozen.close(); s.Stop() })
	return s
}

// Start starts a server that was stopped, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("starting the KMS server: %v", err)
	}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(s.intercept), grpc.WaitForHandlers(true)}
	if s.cert != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(s.cert)))
	}
	server, served := grpc.NewServer(options...), make(chan struct{})
	kmspb.RegisterKeyManagementServiceServer(server, s)
	s.addr, s.serving, s.served = listener.Addr().String(), server, served
	go func() {
		defer close(served)
		// The error says that the server was stopped.
		_ = server.Serve(valveListener{listener, s.frozen})
	}()
}

// Stop breaks every connection and refuses new ones until [Server.Start].
func (s *Server) Stop() {
	if s.serving == nil {
		return
	}
	s.serving.Stop()
	<-s.served
	s.serving = nil
}

// Freeze makes the server a black hole, which takes connections and bytes and
// answers nothing, until the function that it returns is called.
func (s *Server) Freeze() (thaw func()) {
	s.frozen.shut()
	return s.frozen.open
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.addr }

// ClientOptions connect a client of the real service's library to the server.
func (s *Server) ClientOptions() []option.ClientOption {
	options := []option.ClientOption{option.WithEndpoint(s.addr)}
	if s.cert == nil {
		return append(
			options, option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.cert.Leaf)
	return append(options, option.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, ""))))
}

// Calls returns how often a method, such as "AsymmetricSign", was called.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// MostInFlight returns how many calls there were at once, at most.
func (s *Server) MostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// The permissions that the server asks for.
const (
	Get         = "cloudkms.cryptoKeyVersions.get"
	View        = "cloudkms.cryptoKeyVersions.viewPublicKey"
	Use         = "cloudkms.cryptoKeyVersions.useToSign"
	RandomBytes = "cloudkms.locations.generateRandomBytes"
)

// Deny takes permissions away from the caller.
func (s *Server) Deny(permissions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range permissions {
		s.denied[p] = true
	}
}

// Allow gives all permissions back.
func (s *Server) Allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.denied)
}

// Inject has calls go wrong from now on. The function that it returns ends that.
func (s *Server) Inject(f Fault) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	injected := &f
	s.faults = append(s.faults, injected)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == injected })
	}
}
