package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/impersonate"
	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
)

// maxCredentials is far above the 2.4 kB of a service account's key.
const maxCredentials = 64 << 10

// silent keeps the library from logging requests, with the tokens in them, when
// GOOGLE_SDK_GO_LOGGING_LEVEL is set.
var silent = slog.New(slog.DiscardHandler)

// authenticate finds the credentials that a URI asks for: a file, or else those
// of the machine (application default credentials: the variable
// GOOGLE_APPLICATION_CREDENTIALS, gcloud's own, or the metadata server), either
// exchanged for those of another service account or not.
func authenticate(a Access) (*auth.Credentials, error) {
	scopes := kms.DefaultAuthScopes()
	// A service account's key signs its tokens itself: one server less that has to
	// be reached.
	detect := &credentials.DetectOptions{Scopes: scopes, UseSelfSignedJWT: true, Logger: silent}
	var found *auth.Credentials
	var err error
	if a.Credentials != "" {
		found, err = fromFile(a.Credentials, detect)
	} else if found, err = credentials.DetectDefault(detect); err != nil {
		// Not its text, which may have parts of a file in it. Unavailable rather
		// than unusable: a metadata server may not be there yet.
		err = &fault{kind: unavailable, text: "no application default credentials were found: attach a service account to this machine, set GOOGLE_APPLICATION_CREDENTIALS for the daemon to a valid file, or add credentials=/PATH to the URI"}
	}
	if err != nil {
		return nil, err
	}
	if a.Impersonate != "" {
		found, err = impersonate.NewCredentials(&impersonate.CredentialsOptions{
			TargetPrincipal: a.Impersonate, Scopes: scopes, Credentials: found, Client: tokenClient(found), Logger: silent,
		})
		if err != nil {
			return nil, &fault{kind: unusable, text: "the credentials cannot be exchanged for those of the service account of impersonate="}
		}
	}
	return auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider:          tokens{found, a.Impersonate != ""},
		ProjectIDProvider:      auth.CredentialsPropertyFunc(found.ProjectID),
		QuotaProjectIDProvider: auth.CredentialsPropertyFunc(found.QuotaProjectID),
		UniverseDomainProvider: auth.CredentialsPropertyFunc(found.UniverseDomain),
	}), nil
}

// fromFile reads a credentials file. It is trusted as the configuration that names
// it is, so its type is taken from itself; nobody else may have written it.
func fromFile(path string, detect *credentials.DetectOptions) (*auth.Credentials, error) {
	data, _, err := secretfile.Read(path, secretfile.Rule{Max: maxCredentials, GroupRead: true})
	if errors.Is(err, secretfile.ErrRefused) {
		return nil, &fault{kind: unusable, text: "credentials file: " + err.Error()}
	}
	if err != nil {
		return nil, &fault{kind: unavailable, text: "reading the credentials file: " + err.Error()}
	}
	// Not cleared: the credentials keep it.
	kind, err := credentialsType(data)
	if err != nil {
		return nil, &fault{kind: unusable, text: fmt.Sprintf("credentials file %s: %v", path, err)}
	}
	found, err := credentials.NewCredentialsFromJSON(kind, data, detect)
	if err != nil {
		// Not its text, which may have parts of the file in it.
		return nil, &fault{kind: unusable, text: fmt.Sprintf("credentials file %s: a field of its %q credentials is missing or wrong; make a new one", path, kind)}
	}
	return found, nil
}

// tokens says why there is no token in words that hold no part of one.
type tokens struct {
	credentials  *auth.Credentials
	impersonates bool
}

// Token implements [auth.TokenProvider].
func (t tokens) Token(ctx context.Context) (*auth.Token, error) {
	token, err := t.credentials.Token(ctx)
	if err == nil {
		return token, nil
	}
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	e := &credentialsError{impersonates: t.impersonates}
	var answer *auth.Error
	if errors.As(err, &answer) && answer.Response != nil {
		e.status = answer.Response.StatusCode
		return nil, e
	}
	// One exchange may stand behind another, whose error is in that of the first.
	for ; err != nil && e.status == 0; err = errors.Unwrap(err) {
		if found := statusCode.FindStringSubmatch(err.Error()); found != nil {
			e.status, _ = strconv.Atoi(found[1])
		}
	}
	return nil, e
}

// statusCode finds the HTTP status in the errors of a token exchange and of an
// impersonation, which the library gives as text only. What follows it is the
// server's answer and may hold a token.
var statusCode = regexp.MustCompile(`^(?:[a-z ]+: )*status code ([1-5][0-9]{2}): `)

// credentialsError says that no token was given for the credentials.
type credentialsError struct {
	status       int // HTTP status of the answer, or 0 without one
	impersonates bool
}

func (e *credentialsError) refused() bool {
	return e.status >= 400 && e.status < 500 && e.status != http.StatusRequestTimeout && e.status != http.StatusTooManyRequests
}

func (e *credentialsError) fault() *fault {
	if !e.refused() {
		return &fault{kind: unavailable, tries: attempts, undone: true, text: "no access token: the token or metadata server cannot be reached, or fails" + e.code()}
	}
	text := "the token server refuses the credentials" + e.code() + ": they have expired, were revoked or deleted, or this machine's clock is wrong"
	if e.impersonates {
		text += "; impersonate= also needs roles/iam.serviceAccountTokenCreator on that service account, and the IAM Service Account Credentials API enabled"
	}
	return &fault{kind: unusable, drop: true, undone: true, text: text}
}

func (e *credentialsError) code() string {
	if e.status == 0 {
		return ""
	}
	return fmt.Sprintf(" (HTTP %d)", e.status)
}

func (e *credentialsError) Error() string { return e.fault().text }

// GRPCStatus has gRPC hand the error on as it is.
func (e *credentialsError) GRPCStatus() *status.Status {
	if e.refused() {
		return status.New(codes.Unauthenticated, e.Error())
	}
	return status.New(codes.Unavailable, e.Error())
}
