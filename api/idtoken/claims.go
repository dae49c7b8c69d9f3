package idtoken

import (
	"math"
	"time"
)

// check holds the claims of a verified token against what an ID token must say
// (OpenID Connect Core 1.0, sections 2 and 3.1.3.7) and sets subject, ID and expiry.
func (t *token) check(is *Issuer, now time.Time) error {
	// The signature is by the keys of that issuer; this is what makes it the token's.
	if iss, ok := t.claims["iss"].(string); !ok || iss != is.URL {
		return refused("it is from %s, want one from %s", quote(iss), is.URL)
	}
	if err := t.checkAudience(is); err != nil {
		return err
	}
	if err := t.checkTimes(now); err != nil {
		return err
	}
	var ok bool
	if t.subject, ok = t.claims["sub"].(string); !ok || t.subject == "" {
		return refused("it has no subject (sub)")
	}
	if len(t.subject) > maxSubject || !isPrintable(t.subject) {
		return refused("its subject (sub) has %d bytes, want at most %d, and printable characters only", len(t.subject), maxSubject)
	}
	if t.id, ok = t.claims["jti"].(string); !ok || t.id == "" {
		return refused("it has no ID (jti): it could be replayed, and nobody would know")
	}
	if len(t.id) > maxID || !isPrintable(t.id) {
		return refused("its ID (jti) has %d bytes, want at most %d, and printable characters only", len(t.id), maxID)
	}
	return nil
}

// checkAudience wants this daemon as the only audience. A token for others as well
// could be used here by each of those that it was shown to.
func (t *token) checkAudience(is *Issuer) error {
	aud := t.claims["aud"]
	if list, ok := aud.([]any); ok {
		if len(list) != 1 {
			return refused("it is for %d audiences (aud), want %s alone: any of the others could use it here", len(list), quote(is.Audience))
		}
		aud = list[0]
	}
	text, ok := aud.(string)
	if !ok {
		return refused("it has no audience (aud), want %s", quote(is.Audience))
	}
	if text != is.Audience {
		return refused("it is for the audience %s, want %s", quote(text), quote(is.Audience))
	}
	return nil
}

func (t *token) checkTimes(now time.Time) error {
	expires, found, err := t.time("exp")
	if err != nil {
		return err
	}
	if !found {
		return refused("it has no expiry (exp)")
	}
	if !now.Before(expires) {
		return refused("it expired at %s, and it is %s now", stamp(expires), stamp(now))
	}
	if expires.After(now.Add(MaxLifetime)) {
		return refused("it expires at %s, want at most %v from now, which is %s", stamp(expires), MaxLifetime, stamp(now))
	}
	notBefore, found, err := t.time("nbf")
	if err != nil {
		return err
	}
	if found && notBefore.After(now.Add(MaxSkew)) {
		return refused("it is valid from %s on (nbf), and it is %s now; a clock may be wrong", stamp(notBefore), stamp(now))
	}
	issued, found, err := t.time("iat")
	if err != nil {
		return err
	}
	if !found {
		return refused("it has no time of issue (iat)")
	}
	if issued.After(now.Add(MaxSkew)) {
		return refused("it was issued at %s (iat), and it is %s now; a clock may be wrong", stamp(issued), stamp(now))
	}
	t.expires = expires
	return nil
}

// maxTime is the last second of the year 9999, the last that RFC 3339 can write.
const maxTime = 253402300799

// time reads a NumericDate (RFC 7519, section 2): seconds since 1970, here in whole
// ones.
func (t *token) time(claim string) (time.Time, bool, error) {
	v, found := t.claims[claim]
	if !found {
		return time.Time{}, false, nil
	}
	seconds, ok := v.(float64)
	if !ok || seconds < 0 || seconds > maxTime {
		return time.Time{}, false, refused("its %s is not a number of seconds since 1970", claim)
	}
	return time.Unix(int64(math.Floor(seconds)), 0).UTC(), true, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
