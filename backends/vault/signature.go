package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bundlesign/bundlesign/signer"
)

// decode reads a signature as Vault writes it: vault:v1:BASE64.
func (e *engine) decode(text string) ([]byte, error) {
	prefix := fmt.Sprintf("vault:v%d:", e.uri.Version)
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, fmt.Errorf("found a signature that begins %q, want %q: it is of another version of the key", e.sessions.show(text[:min(len(text), len(prefix))]), prefix)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("found a signature that is not base64")
	}
	return raw, nil
}

// blame returns the error that says best why there is no signature. answer is Vault's,
// or nil if it was an unfit success, and told what would be said about it. If it can be
// the key's fault, the key is looked at: an ErrKeyUnusable of inspect is better.
func blame(ctx context.Context, answer, told error, inspect func() error) error {
	if answer != nil {
		switch status(answer) {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusInternalServerError:
		default:
			return told
		}
	}
	if ctx.Err() == nil {
		if why := inspect(); errors.Is(why, signer.ErrKeyUnusable) {
			return why
		}
	}
	return told
}
