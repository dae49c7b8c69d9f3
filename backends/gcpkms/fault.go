package gcpkms

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bundlesign/bundlesign/signer"
)

// The two kinds of errors that [signer.Key] speaks of.
var (
	unavailable = signer.ErrUnavailable
	unusable    = signer.ErrKeyUnusable
)

// fault is what went wrong with a call, what to do about it, and whether the call
// is worth another try.
type fault struct {
	kind  error  // unavailable or unusable
	doing string // what was being done
	text  string
	tries int           // how often in all the call is tried; 0 means once
	drop  bool          // the connection or its credentials are no good
	quota bool          // the quota is used up
	after time.Duration // when the service said to come back, or 0
	wait  bool          // the call was not made because the quota is used up

	undone bool // the service did nothing when it was asked this
	empty  bool // there is a version, but it holds no key and never will
	denied bool // the caller lacks a permission
}

func (f *fault) Error() string {
	if f.doing == "" {
		return fmt.Sprintf("%s: gcpkms: %s", f.kind, f.text)
	}
	return fmt.Sprintf("%s: gcpkms: %s: %s", f.kind, f.doing, f.text)
}

func (f *fault) Unwrap() error { return f.kind }

// RetryAfter returns how long to wait before another call has a chance, or 0 if
// that is not known.
func (f *fault) RetryAfter() time.Duration { return f.after }

// during returns the fault with what was being done.
func (f *fault) during(what string) *fault {
	g := *f
	g.doing = what
	return &g
}

func overQuota(after time.Duration) *fault {
	return &fault{kind: unavailable, quota: true, wait: true, undone: true, after: after, text: fmt.Sprintf(
		"the quota for this project and protection level is used up; retry in %s, or ask for more under IAM & Admin > Quotas (Cloud KMS API)", after.Round(100*time.Millisecond),
	)}
}

// explain sorts an error of a call. Status codes are those of gRPC; the service's
// own text is shown for those where it tells what to change. For others, such as
// InvalidArgument, it might repeat what was sent, and a session key was.
func explain(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var refused *credentialsError
	if errors.As(err, &refused) {
		return refused.fault()
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.New(codes.Unknown, "")
	}
	reason, after := details(st)
	said := ": " + plain(st.Message())
	switch st.Code() {
	case codes.PermissionDenied:
		return &fault{kind: unusable, undone: true, denied: true, text: permission(reason) + said}
	case codes.NotFound:
		return &fault{kind: unusable, undone: true, text: "there is no such key version: check project, location, key ring, key and version in the URI" + said}
	case codes.FailedPrecondition:
		return &fault{kind: unusable, undone: true, text: "the key version cannot be used as it is: " + enable + said}
	case codes.Unauthenticated:
		// Tried once more with credentials read anew: an old token may have been
		// revoked, or the file replaced.
		text := "they have expired or were revoked, or this machine's clock is wrong; renew the credentials, check the clock"
		var clock *clockError
		if errors.As(err, &clock) {
			text = clock.hint() + ", and a token is refused for that: set the clock right (chronyc tracking, timedatectl)"
		}
		return &fault{kind: unusable, tries: 2, drop: true, undone: true, text: "the service does not accept the credentials" + because(reason) + ": " + text}
	case codes.InvalidArgument, codes.OutOfRange:
		return &fault{kind: unusable, undone: true, text: "the service refuses the request (" + st.Code().String() + because(reason) + "): the key version is of another algorithm than this needs, or not in this location; inspect it to see"}
	case codes.Unimplemented:
		return &fault{kind: unusable, undone: true, text: "the endpoint does not speak the Cloud KMS API: check endpoint= in the URI, and proxies"}
	case codes.ResourceExhausted:
		return &fault{kind: unavailable, quota: true, undone: true, after: after, text: overQuota(after).text + said}
	case codes.Unavailable:
		// A connection that failed waits before it tries to connect again, and fails
		// every call meanwhile: a new one tries at once.
		return &fault{kind: unavailable, tries: attempts, drop: true, after: after, text: "the service cannot be reached" + said}
	case codes.DeadlineExceeded:
		return &fault{kind: unavailable, tries: attempts, drop: true, text: "the service did not answer in time"}
	default: // Internal, Aborted, Unknown, DataLoss, Cancelled, ...
		return &fault{kind: unavailable, tries: attempts, after: after, text: "the service failed (" + st.Code().String() + because(reason) + ")"}
	}
}

const enable = "only version state ENABLED signs. If it is DISABLED: gcloud kms keys versions enable; if it is DESTROY_SCHEDULED: restore and enable it; if it is DESTROYED the key is gone"

// details returns what an error says beside its code and text.
func details(st *status.Status) (reason string, after time.Duration) {
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			after = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, after
}

// Reasons of google.rpc.ErrorInfo for a permission that no role would give.
const (
	serviceDisabled = "SERVICE_DISABLED"
	billingDisabled = "BILLING_DISABLED"
)

// permission says what a denied caller lacks.
func permission(reason string) string {
	switch reason {
	case serviceDisabled:
		return "the Cloud KMS API is not enabled in the project: gcloud services enable cloudkms.googleapis.com"
	case billingDisabled:
		return "billing is disabled for the project"
	}
	return "permission denied" + because(reason) + ", or there is no such key: grant the daemon's service account roles/cloudkms.signerVerifier (to sign and read the public key) and roles/cloudkms.viewer (to read state, protection level and attestation) on the key"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + plain(reason) + ")"
}

// plain makes somebody else's text fit for a message: one line, no control
// characters, no more than a few hundred bytes.
func plain(text string) string {
	const limit = 400
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
