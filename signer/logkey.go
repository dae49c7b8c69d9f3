package signer

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit"
)

// logSigner has a LogKey sign the checkpoints of a log.
type logSigner struct {
	key      LogKey
	verifier note.Verifier
	timeout  time.Duration
}

var _ note.Signer = (*logSigner)(nil)

// NewLogSigner returns a [note.Signer] that signs checkpoints with a key in a
// backend, for [audit.SignCheckpoint]. It signs nothing else, and returns no
// signature that does not verify with the log's pinned key. Each signature may
// take the backend as long as timeout. Its errors are those of the key.
func NewLogSigner(key LogKey, verifier note.Verifier, timeout time.Duration) note.Signer {
	return &logSigner{key, verifier, timeout}
}

// Name implements [note.Signer]: it is the origin of the log.
func (s *logSigner) Name() string { return s.verifier.Name() }

// KeyHash implements [note.Signer].
func (s *logSigner) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign implements [note.Signer].
func (s *logSigner) Sign(msg []byte) ([]byte, error) {
	text, err := audit.ParseCheckpointText(msg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	signature, err := s.key.SignCheckpoint(ctx, text)
	if err != nil {
		return nil, err
	}
	if !s.verifier.Verify(msg, signature) {
		return nil, fmt.Errorf("%w: the log's key made a signature that log.public_key does not verify: it is another key, or the backend is broken", ErrKeyUnusable)
	}
	return signature, nil
}
