package gcpkms

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// clocksDiffer is how far two clocks must be apart to be worth a word. Tokens live
// for an hour and say when they were made.
const clocksDiffer = 30 * time.Second

// clockError is a refusal of credentials by a service with another time.
type clockError struct {
	refusal error
	ahead   time.Duration // of this machine's clock
}

func (e *clockError) Error() string { return e.refusal.Error() }
func (e *clockError) Unwrap() error { return e.refusal }

// hint says which clock is to be checked.
func (e *clockError) hint() string {
	if e.ahead > 0 {
		return fmt.Sprintf("this machine's clock is %s ahead of the service's", e.ahead)
	}
	return fmt.Sprintf("this machine's clock is %s behind the service's", -e.ahead)
}

// compareClocks is a [grpc.UnaryClientInterceptor] that looks at the Date field (RFC
// 9110, section 6.6.1) of an answer that refuses the credentials, if it has one: a
// token that was made tomorrow and one that was revoked are refused in the same
// words.
func compareClocks(ctx context.Context, method string, request, answer any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	var header, trailer metadata.MD
	err := invoke(ctx, method, request, answer, cc, append(options, grpc.Header(&header), grpc.Trailer(&trailer))...)
	if status.Code(err) != codes.Unauthenticated {
		return err
	}
	for _, date := range append(header.Get("date"), trailer.Get("date")...) {
		theirs, parseErr := http.ParseTime(date)
		if parseErr != nil {
			continue
		}
		if ahead := time.Until(theirs).Round(time.Second); ahead.Abs() > clocksDiffer {
			return &clockError{err, -ahead}
		}
	}
	return err
}
