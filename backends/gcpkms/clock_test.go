package gcpkms_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// A token is good from when it was made until it expires, by the server's clock. If
// that is another than this machine's, the error says so, and by how much.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	var s *kmstest.Server
	s = kmstest.NewTLS(t, func(token string) bool { return a.accepts(token) && inTime(token, s.Now()) })
	public := publicKey(t, s.Generate(name))
	k, path := withFile(t, s)
	write(t, path, a.file)
	said := regexp.MustCompile(`this machine's clock is (\S+) (ahead of|behind) the service's, `)
	for ahead, word := range map[time.Duration]string{-2 * time.Hour: "ahead of", 2 * time.Hour: "behind"} {
		s.SetClock(ahead)
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, signer.ErrKeyUnusable, "set the clock right")
		found := said.FindStringSubmatch(err.Error())
		if found == nil || found[2] != word {
			t.Fatalf("error %v, want it to say that the clock is 2h %s the service's", err, word)
		}
		// The field has no fractions, and the answer was on its way.
		if d, err := time.ParseDuration(found[1]); err != nil || (d-2*time.Hour).Abs() > patience {
			t.Errorf("the clock is said to be %s %s, want 2h", found[1], word)
		}
	}
	// What makes no difference to a token is not worth a word.
	s.SetClock(0)
	works(t, k, public)
}

// inTime reports whether a JWT (RFC 7519) is good at a time.
func inTime(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Iat int64 `json:"iat"`
		Exp int64 `json:"exp"`
	}
	if err := json.Unmarshal(data, &claims); err != nil {
		return false
	}
	const leeway = 5 * time.Minute
	return now.Add(leeway).After(time.Unix(claims.Iat, 0)) && now.Before(time.Unix(claims.Exp, 0))
}
