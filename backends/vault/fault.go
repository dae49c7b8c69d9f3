package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/signer"
)

// What Vault's answers mean, and for whom:
//
//	503                  sealed, standby or not ready        unavailable
//	429                  a rate limit or lease quota         unavailable, once it was
//	                                                         waited for (pause.go)
//	472, 473             a standby of Vault Enterprise       unavailable
//	412                  a replica that is behind            unavailable
//	5xx                  Vault or its storage has a problem  unavailable
//	no answer, TLS       nothing is known of the key         unavailable
//	400, 404, 405        there is no such key or version     unusable
//	403                  the token is dead (then log in again) or its policies do not
//	                     allow it                            unusable
//
// A 500 may also be about the key: Vault 1.13 has no better answer for a version
// that was archived. So after a failed signature the key is looked at.

// Statuses of Vault's own: a disaster recovery secondary, and a performance standby.
const (
	statusDRSecondary = 472
	statusPerfStandby = 473
)

// status returns the HTTP status in an error, or 0.
func status(err error) int {
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// judged reports whether an error says already of which kind it is.
func judged(err error) bool {
	return errors.Is(err, signer.ErrUnavailable) || errors.Is(err, signer.ErrKeyUnusable)
}

// broken reports whether a connection failed before there was an answer, as one does
// that was kept open and whose other end has gone.
func broken(err error) bool {
	return status(err) == 0 && !judged(err) && !errors.Is(err, errSlow) && !errors.Is(err, errNotVault) && !errors.Is(err, errRedirect)
}

// fault makes an error of a request one for the core. doing says what was tried.
func (s *sessions) fault(ctx context.Context, doing string, err error) error {
	where := "vault " + s.uri.name() + ": " + doing
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", where, ctx.Err())
	}
	if judged(err) {
		return err
	}
	return passHint(s.describe(err, where), err)
}

// describe says what an error of a request means.
func (s *sessions) describe(err error, where string) error {
	switch code := status(err); {
	case code == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s: vault at %s is sealed, or a standby without an active node: unseal it (vault status)%s", signer.ErrUnavailable, where, s.uri.Address, s.said(err))
	case code == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s: vault's rate limit or lease quota is used up: try again later, or ask for more%s", signer.ErrUnavailable, where, s.said(err))
	case code == statusDRSecondary, code == statusPerfStandby:
		return fmt.Errorf("%w: %s: %s is a standby of vault: give the address of the active node, or of a load balancer that knows it%s", signer.ErrUnavailable, where, s.uri.Address, s.said(err))
	case code == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %s: this replica of vault is behind%s", signer.ErrUnavailable, where, s.said(err))
	case code >= 500:
		return fmt.Errorf("%w: %s: vault answered %d%s", signer.ErrUnavailable, where, code, s.said(err))
	case code == http.StatusForbidden:
		return fmt.Errorf("%w: %s: vault does not allow it (403): check the policies of the token%s", signer.ErrKeyUnusable, where, s.said(err))
	case code != 0:
		return fmt.Errorf("%w: %s: vault answered %d: check the names of the mount and the key, the version, and the namespace%s", signer.ErrKeyUnusable, where, code, s.said(err))
	case errors.Is(err, errSlow):
		return fmt.Errorf("%w: %s: vault at %s did not answer within %s", signer.ErrUnavailable, where, s.uri.Address, s.timeout)
	case errors.Is(err, errNotVault), errors.Is(err, errRedirect):
		return fmt.Errorf("%w: %s: %s %w", signer.ErrUnavailable, where, s.uri.Address, reason(err))
	case isCertificate(err):
		return fmt.Errorf("%w: %s: the TLS certificate of %s is not trusted: %s: %s", signer.ErrUnavailable, where, s.uri.Address, certificateAdvice(err), s.show(err.Error()))
	}
	return fmt.Errorf("%w: %s: vault cannot be reached: %s", signer.ErrUnavailable, where, s.show(err.Error()))
}

// reason returns the error of our own that is inside one of the library's.
func reason(err error) error {
	if errors.Is(err, errRedirect) {
		return errRedirect
	}
	return errNotVault
}

func isCertificate(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}

func certificateAdvice(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "it has expired or is not valid yet: compare the clocks of both machines, then have it renewed"
	}
	return "check the address, and name the authority's certificate with ca-file= in the key's URI"
}

// said returns what Vault gave as its reason, as the end of a message.
func (s *sessions) said(err error) string {
	var answer *api.ResponseError
	if !errors.As(err, &answer) || len(answer.Errors) == 0 || answer.RawError {
		return ""
	}
	return fmt.Sprintf("; vault says: %s", s.show(strings.Join(answer.Errors, "; ")))
}

// show returns a text of Vault's short, on one line, printable, and without secrets.
func (s *sessions) show(text string) string {
	const most = 300
	text = s.secrets.strike(text)
	if len(text) > most {
		text = text[:most] + "..."
	}
	quoted := strconv.QuoteToGraphic(strings.ToValidUTF8(text, "?"))
	return quoted[1 : len(quoted)-1]
}

// secrets are what must not be in a message, whoever wrote it.
type secrets struct {
	mu     sync.Mutex
	newest [8]string
	next   int
}

// add remembers a secret, in place of the oldest.
func (s *secrets) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.newest {
		if known == secret {
			return
		}
	}
	s.newest[s.next%len(s.newest)] = secret
	s.next++
}

func (s *secrets) strike(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.newest {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	return text
}
