package kmstest

import (
	"context"
	"net/http"
	"path"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Fault is what goes wrong with a call. Its fields apply in their order.
type Fault struct {
	Method string // such as "AsymmetricSign"; "" is every one
	Times  int    // how many calls it strikes; 0 is all
	// Hang gives no answer before the caller leaves. If it is not nil, the call
	// sends to it first.
	Hang chan<- struct{}
	// Hold, if not nil, keeps the call until it is closed.
	Hold <-chan struct{}
	// Receive changes the request as it arrives.
	Receive func(request any)
	// Err is answered instead of anything else.
	Err error
	// Lose is answered instead of the answer, to what was done.
	Lose error
	// Send changes the answer before it leaves.
	Send func(answer any)
}

// strike returns the fault that this call has, or an empty one.
func (s *Server) strike(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	for i, f := range s.faults {
		if f.Method != "" && f.Method != method {
			continue
		}
		struck := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return struck
	}
	return Fault{}
}

func (s *Server) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	defer s.enter()()
	if err := grpc.SetHeader(ctx, metadata.Pairs("date", s.Now().UTC().Format(http.TimeFormat))); err != nil {
		return nil, err
	}
	f := s.strike(path.Base(info.FullMethod))
	if f.Hang != nil {
		select {
		case f.Hang <- struct{}{}:
		case <-ctx.Done():
		}
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-ctx.Done():
		}
	}
	if err := s.authenticate(ctx); err != nil {
		return nil, err
	}
	if f.Receive != nil {
		f.Receive(request)
	}
	if f.Err != nil {
		return nil, f.Err
	}
	answer, err := handler(ctx, request)
	if err == nil && f.Lose != nil {
		return nil, f.Lose
	}
	if err == nil && f.Send != nil {
		f.Send(answer)
	}
	return answer, err
}

// enter counts a call until the function that it returns is called.
func (s *Server) enter() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside++
	s.most = max(s.most, s.inside)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inside--
	}
}

func (s *Server) authenticate(ctx context.Context) error {
	s.mu.Lock()
	authorize := s.authorize
	s.mu.Unlock()
	if authorize == nil {
		return nil
	}
	for _, value := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if token, ok := strings.CutPrefix(value, "Bearer "); ok && authorize(token) {
			return nil
		}
	}
	return Status(codes.Unauthenticated, "Request had invalid authentication credentials.", &errdetails.ErrorInfo{
		Reason: "ACCESS_TOKEN_EXPIRED", Domain: "googleapis.com",
	})
}
