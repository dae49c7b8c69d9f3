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
	"encoding/pem"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Server is a Cloud KMS. It ends with the test.
type Server struct {
	kmspb.UnimplementedKeyManagementServiceServer

	t     testing.TB
	place *place
	cert  *tls.Certificate // nil: plain text

	mu        sync.Mutex
	rings     map[string]bool
	keys      map[string]*cryptoKey
	retired   map[string]bool // names of keys that were deleted
	versions  map[string]*version
	jobs      map[string]*importJob
	polls     int // how often what is new says that it is not ready
	denied    map[string]bool
	authorize func(token string) bool
	clock     time.Duration // how far it is ahead of the machine's
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
	place, err := reserve()
	if err != nil {
		t.Fatalf("reserving a port for the KMS server: %v", err)
	}
	s := &Server{
		t: t, place: place, cert: cert,
		rings: map[string]bool{}, keys: map[string]*cryptoKey{}, retired: map[string]bool{},
		versions: map[string]*version{}, jobs: map[string]*importJob{}, polls: 1,
		denied: map[string]bool{}, calls: map[string]int{},
		frozen: newValve(),
	}
	s.Start()
	t.Cleanup(func() { s.frozen.close(); s.Stop(); place.release() })
	return s
}

// Start starts a server that was stopped, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	listener, err := s.place.listen()
	if err != nil {
		s.t.Fatalf("starting the KMS server: %v", err)
	}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(s.intercept), grpc.WaitForHandlers(true)}
	if s.cert != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(s.cert)))
	}
	server, served := grpc.NewServer(options...), make(chan struct{})
	kmspb.RegisterKeyManagementServiceServer(server, s)
	s.serving, s.served = server, served
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
func (s *Server) Addr() string { return s.place.addr }

// ClientOptions connect a client of the real service's library to the server.
func (s *Server) ClientOptions() []option.ClientOption {
	options := []option.ClientOption{option.WithEndpoint(s.Addr())}
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

// Certificate returns the certificate of a server that speaks TLS, in PEM.
func (s *Server) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Leaf.Raw})
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

	GetRing        = "cloudkms.keyRings.get"
	GetKey         = "cloudkms.cryptoKeys.get"
	CreateKey      = "cloudkms.cryptoKeys.create"
	CreateVersion  = "cloudkms.cryptoKeyVersions.create"
	UpdateVersion  = "cloudkms.cryptoKeyVersions.update"
	DestroyVersion = "cloudkms.cryptoKeyVersions.destroy"
	RestoreVersion = "cloudkms.cryptoKeyVersions.restore"
	CreateJob      = "cloudkms.importJobs.create"
	GetJob         = "cloudkms.importJobs.get"
	UseJob         = "cloudkms.importJobs.useToImport"
)

// SetPolls has versions and import jobs that are made from now on say n times that
// they are not ready; it is once if nobody says otherwise.
func (s *Server) SetPolls(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls = n
}

func (s *Server) patience() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// Deny takes permissions away from the caller.
func (s *Server) Deny(permissions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range permissions {
		s.denied[p] = true
	}
}

// SetClock has the server's time be so far ahead of the machine's. It is in the
// Date field of each answer; what it means for tokens is authorize's to say.
func (s *Server) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = ahead
}

// Now returns the server's time.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.clock)
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
