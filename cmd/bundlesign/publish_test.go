package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// What the Capgo API says ends with the exit code that the same has of the daemon,
// and with a hint, wherever it is wrapped.
func TestPublishingErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
	}{
		{&publish.APIError{Status: 400, Code: "invalid_version_format"}, exitBadInput},
		{&publish.APIError{Status: 400, Code: "version_already_exists"}, exitBadInput},
		{&publish.APIError{Status: 400, Code: "encryption_key_mismatch"}, exitBadInput},
		{&publish.APIError{Status: 400, Code: "cannot_create_bundle"}, exitDenied},
		{&publish.APIError{Status: 401, Code: "invalid_apikey"}, exitDenied},
		{&publish.APIError{Status: 429, Code: "too_many_requests"}, exitUnavailable},
		{&publish.LostError{API: "x", Err: &publish.APIError{Status: 500}}, exitUnavailable},
		{&publish.MismatchError{API: "x", Version: "1.0.0", Member: "checksum"}, exitBadInput},
		{&publish.MismatchError{API: "x", Version: "1.0.0", Member: "checksum", Fresh: true}, exitUntrusted},
	} {
		err := fmt.Errorf("signed and written, but not registered: %w", test.err)
		if code := exitCode(err); code != test.code {
			t.Errorf("%v: found exit code %d, want %d", err, code, test.code)
		}
		if hint(err) == "" {
			t.Errorf("%v: there is no hint", err)
		}
	}
	interrupted := &publish.LostError{API: "x", Err: context.Canceled}
	if code := exitCode(interrupted); code != exitInternal {
		t.Errorf("interrupted: found exit code %d, want %d", code, exitInternal)
	}
	if code := exitCode(errors.New("else")); code != exitInternal {
		t.Errorf("found exit code %d, want %d", code, exitInternal)
	}
}
