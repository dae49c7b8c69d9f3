package vault

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// jwtValidity says when a JWT (RFC 7519) itself claims to be good, for a message about
// one that Vault refused: by whose clock it is too old or too new is the first question.
// It returns "" if the JWT has no times that can be read. Nothing is verified.
func jwtValidity(jwt string, now time.Time) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		NotBefore float64 `json:"nbf"` // seconds since 1970
		IssuedAt  float64 `json:"iat"`
		Expires   float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 {
		return ""
	}
	from := math.Max(claims.NotBefore, claims.IssuedAt)
	const latest = 253402300799 // the end of the year 9999
	if from > latest || claims.Expires > latest {
		return ""
	}
	show := func(seconds float64) string {
		return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
	}
	text := "it says that it is good until " + show(claims.Expires)
	if from > 0 {
		text = fmt.Sprintf("it says that it is good from %s until %s", show(from), show(claims.Expires))
	}
	return text + ", and on this machine it is " + now.UTC().Format(time.RFC3339) + ": if that fits, the clock of vault may not"
}
