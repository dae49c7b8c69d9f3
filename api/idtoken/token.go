package idtoken

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode"
)

// Bounds of a token. Those of GitHub have some 2 KiB, of GitLab 3 KiB.
const (
	// MaxSize is the most bytes that a token may have.
	MaxSize       = 16 << 10
	maxHeader     = 4 << 10 // of JSON, decoded
	maxClaims     = 8 << 10 // of JSON, decoded
	maxSubject    = 1024    // bytes
	maxID         = 256     // bytes
	maxKeyID      = 256     // bytes
	maxValues     = 512     // JSON values in the claims, at all depths
	maxDepth      = 8       // of objects and lists within each other
	compactPieces = 3       // header, payload, signature
)

// token is a JWT that is taken apart. Nothing of it is verified by that.
type token struct {
	alg, kid string
	payload  []byte
	claims   map[string]any
	// Set by check:
	subject, id string
	expires     time.Time
}

// parse takes a token apart and holds its form against all bounds. Only the
// compact form is taken, in one way of writing it: no white space, no padding, no
// bits left over.
func parse(raw string) (*token, error) {
	if len(raw) > MaxSize {
		return nil, refused("it has %d bytes, want at most %d", len(raw), MaxSize)
	}
	if n := strings.Count(raw, "."); n != compactPieces-1 {
		return nil, refused("it has %d dots, want a JWT in compact form, which has 2", n)
	}
	pieces := strings.Split(raw, ".")
	var decoded [compactPieces][]byte
	for i, name := range [compactPieces]string{"header", "payload", "signature"} {
		var err error
		// Strict looks for leftover bits, but passes over line breaks.
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(pieces[i]); err != nil || strings.ContainsAny(pieces[i], "\r\n") {
			return nil, refused("its %s is not base64url without padding", name)
		}
		if len(decoded[i]) == 0 {
			return nil, refused("its %s is empty", name)
		}
	}
	t := &token{payload: decoded[1]}
	if err := t.parseHeader(decoded[0]); err != nil {
		return nil, err
	}
	if len(t.payload) > maxClaims {
		return nil, refused("its claims have %d bytes, want at most %d", len(t.payload), maxClaims)
	}
	var err error
	if t.claims, err = parseObject(t.payload); err != nil {
		return nil, refused("its claims: %v", err)
	}
	return t, nil
}

// parseHeader reads the JOSE header (RFC 7515, section 4). Of what is in it only
// alg, kid and typ count. Keys and places of keys (jwk, jku, x5c, x5u) are not
// looked at: they would let the token say by whom it may be signed.
func (t *token) parseHeader(data []byte) error {
	if len(data) > maxHeader {
		return refused("its header has %d bytes, want at most %d", len(data), maxHeader)
	}
	header, err := parseObject(data)
	if err != nil {
		return refused("its header: %v", err)
	}
	if _, found := header["crit"]; found {
		return refused("its header has crit: extensions are not supported")
	}
	if _, found := header["b64"]; found {
		return refused("its header has b64: extensions are not supported")
	}
	// Other kinds of JWT by the same key are not ID tokens (RFC 8725, section 3.11).
	if typ, found := header["typ"]; found {
		if text, ok := typ.(string); !ok || !strings.EqualFold(text, "JWT") {
			return refused("its header has another typ than JWT: an ID token is wanted")
		}
	}
	var ok bool
	if t.alg, ok = header["alg"].(string); !ok {
		return refused("its header has no alg")
	}
	if t.kid, ok = header["kid"].(string); !ok || t.kid == "" || len(t.kid) > maxKeyID {
		return refused("its header has no kid of 1 to %d bytes, which says by which key it is signed", maxKeyID)
	}
	return nil
}

// isPrintable reports whether a text can be shown to people without pretending to
// be something else: no control characters, none that change the direction.
func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}
