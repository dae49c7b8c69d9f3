package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"sync"
	"time"
)

const (
	// entropySize is how much of Vault's randomness goes into one session key, and
	// entropyBatch how much is asked for at once: both in bytes.
	entropySize  = 32
	entropyBatch = 2048
	// entropyPause is how long a Vault that does not give any is not asked again.
	entropyPause = 10 * time.Minute
)

// entropy is random bytes from Vault, for session keys. They are hashed together with
// the system's own, so they need no secrecy to do no harm, and are done without if
// Vault's policies do not give them.
type entropy struct {
	mu     sync.Mutex
	stock  []byte
	denied time.Time // zero: it was not
}

// draw returns bytes that are used this once, or nil if Vault gives none. It fails only
// if signing would fail too.
func (k *Key) draw(ctx context.Context) ([]byte, error) {
	e := &k.entropy
	if got, ok := e.take(); ok {
		return got, nil
	}
	var answer struct {
		Data struct {
			RandomBytes string `json:"random_bytes"`
		} `json:"data"`
	}
	session, err := k.sessions.get(ctx)
	if err != nil {
		return nil, err
	}
	path := k.uri.Mount + "/random/" + strconv.Itoa(entropyBatch)
	err = request(ctx, session.client, k.cfg.Timeout, path, map[string]string{"format": "base64"}, &answer)
	if errors.Is(err, errSlow) || ctx.Err() != nil {
		return nil, k.sessions.fault(ctx, "drawing random bytes", err)
	}
	raw, decodeErr := base64.StdEncoding.DecodeString(answer.Data.RandomBytes)
	// A dead token is answered with 403 too: signing will find out, and then there is
	// a new one to ask with. So only a success of signing with this one is a no.
	refused := status(err) != 0 && status(err) < 500 && session.used.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || decodeErr != nil || len(raw) < entropySize {
		if refused {
			e.denied = time.Now()
		}
		return nil, nil
	}
	e.denied = time.Time{}
	e.stock = append(raw[entropySize:], e.stock...)[:min(len(raw)-entropySize+len(e.stock), 2*entropyBatch)]
	return raw[:entropySize:entropySize], nil
}

// take returns what is in stock. It is false if Vault is to be asked.
func (e *entropy) take() (got []byte, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.stock) >= entropySize {
		got = append(got, e.stock[:entropySize]...)
		clear(e.stock[:entropySize])
		e.stock = e.stock[entropySize:]
		return got, true
	}
	return nil, !e.denied.IsZero() && time.Since(e.denied) < entropyPause
}

// source says, as evidence, whether Vault's randomness is used.
func (e *entropy) source() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.denied.IsZero():
		return "not allowed by the token's policies"
	case e.stock != nil:
		return "used"
	}
	return "not used yet"
}
