package gcpkms

import (
	"context"
	"sync"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// client is a connection to the service with its credentials.
type client = kms.KeyManagementClient

// clients holds the client in use. It is made at the first use, and anew after
// one was dropped: because it hangs, or its credentials were refused. Those who
// still use a dropped one finish with it.
type clients struct {
	dial func(context.Context) (*client, error)

	mu      sync.Mutex
	current *held
	making  sync.WaitGroup
}

// held is a client and who uses it.
type held struct {
	of      *clients
	ready   chan struct{} // closed when client and err are set
	client  *client
	err     error
	users   int // the one that makes it included
	dropped bool
}

// acquire returns the client in use, which the caller releases. Looking for
// credentials may take as long as a metadata server that does not answer, so it
// is not waited for beyond the end of ctx.
func (c *clients) acquire(ctx context.Context) (*held, error) {
	c.mu.Lock()
	h := c.current
	if h == nil {
		h = &held{of: c, ready: make(chan struct{}), users: 1}
		c.current = h
		c.making.Go(h.make)
	}
	h.users++
	c.mu.Unlock()
	select {
	case <-h.ready:
	case <-ctx.Done():
		h.release()
		return nil, ctx.Err()
	}
	if h.err != nil {
		h.release()
		return nil, h.err
	}
	return h, nil
}

func (h *held) make() {
	// Not the caller's context: others wait for the same client.
	h.client, h.err = h.of.dial(context.Background())
	if h.err != nil {
		h.drop() // so that the next use tries again
	}
	close(h.ready)
	h.release()
}

// drop has the next use make a new client.
func (h *held) drop() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.dropped = true
	if h.of.current == h {
		h.of.current = nil
	}
}

// release ends one use, and closes a dropped client with its last one.
func (h *held) release() {
	h.of.mu.Lock()
	h.users--
	last := h.dropped && h.users == 0
	h.of.mu.Unlock()
	if last && h.client != nil {
		// An error would only say that the connection was down already.
		_ = h.client.Close()
	}
}

// close closes the client in use, when nobody uses any.
func (c *clients) close() error {
	c.making.Wait()
	c.mu.Lock()
	h := c.current
	c.current = nil
	c.mu.Unlock()
	if h == nil || h.client == nil {
		return nil
	}
	return h.client.Close()
}

// The service's front end is back within a second or two of most troubles, and a
// release is waiting: the defaults of gRPC, up to two minutes between attempts,
// are made for fleets of clients.
var (
	reconnect = grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 5 * time.Second,
	}
	// Only while a call is in flight, so that a connection that a firewall has
	// forgotten is noticed; the front end takes more frequent pings as abuse.
	alive = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}
)

// dial makes a client. It does not wait for a connection.
func dial(ctx context.Context, a Access, extra []option.ClientOption) (*client, error) {
	options := []option.ClientOption{
		option.WithTelemetryDisabled(),
		option.WithLogger(silent),
		option.WithGRPCDialOption(grpc.WithConnectParams(reconnect)),
		option.WithGRPCDialOption(grpc.WithKeepaliveParams(alive)),
		option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(compareClocks)),
	}
	if a.Endpoint != "" {
		options = append(options, option.WithEndpoint(a.Endpoint))
	}
	if len(extra) == 0 || a.Credentials != "" || a.Impersonate != "" {
		credentials, err := authenticate(a)
		if err != nil {
			return nil, err
		}
		options = append(options, option.WithAuthCredentials(credentials))
	}
	c, err := kms.NewKeyManagementClient(ctx, append(options, extra...)...)
	if err != nil {
		return nil, &fault{kind: unavailable, text: "the client could not be made: " + plain(err.Error())}
	}
	// One policy of retries and deadlines, in call.go.
	c.CallOptions = &kms.KeyManagementCallOptions{}
	return c, nil
}
