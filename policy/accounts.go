package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// accounts say who people are when they ask for signatures.
type accounts struct {
	users  map[string]string         // person, by the name of a Unix user
	tokens map[string][]tokenAccount // by the configured name of the issuer
}

type tokenAccount struct {
	claim, value, person string
}

func (p *People) addAccounts(all map[string]Accounts, complete bool) (faults []error) {
	bad := func(field string, err error) { faults = append(faults, &FieldError{Field: field, Err: err}) }
	a := accounts{users: make(map[string]string), tokens: make(map[string][]tokenAccount)}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		field := "accounts." + name
		if err := checkPersonName(name); err != nil {
			bad("accounts", err)
			continue
		}
		if p.persons[name] == nil && complete {
			bad(field, p.unknown(name))
		}
		for i, user := range all[name].Users {
			at := fmt.Sprintf("%s.users[%d]", field, i)
			if err := checkAccountValue(user); err != nil {
				bad(at, err)
			} else if other, taken := a.users[strings.ToLower(user)]; taken {
				bad(at, fmt.Errorf("found the user %s, who is %s already; an account stands once, and belongs to one person", quote(user), other))
			} else {
				a.users[strings.ToLower(user)] = name // a directory may spell it otherwise
			}
		}
		for i, t := range all[name].Tokens {
			at := fmt.Sprintf("%s.tokens[%d]", field, i)
			wrong := false
			for _, f := range []struct{ name, value string }{{"issuer", t.Issuer}, {"claim", t.Claim}, {"value", t.Value}} {
				if err := checkAccountValue(f.value); err != nil {
					bad(at+"."+f.name, err)
					wrong = true
				}
			}
			if wrong {
				continue
			}
			if other, taken := a.tokenOwner(t); taken {
				bad(at, fmt.Errorf("found %s = %s of the issuer %s, who is %s already; an account stands once, and belongs to one person", quote(t.Claim), quote(t.Value), quote(t.Issuer), other))
				continue
			}
			a.tokens[t.Issuer] = append(a.tokens[t.Issuer], tokenAccount{t.Claim, t.Value, name})
		}
	}
	p.accounts = a
	return faults
}

// maxAccountValue is the longest name, claim or value of an account in bytes.
const maxAccountValue = 1024

// checkAccountValue wants each to be there, and without what a reader cannot see:
// such an account would be nobody's, and its person would count as another.
func checkAccountValue(value string) error {
	switch {
	case value == "":
		return errors.New("found nothing, want a value")
	case len(value) > maxAccountValue:
		return fmt.Errorf("found %d bytes, want at most %d", len(value), maxAccountValue)
	case strings.IndexFunc(value, isInvisible) >= 0, strings.Contains(value, "\t"), strings.TrimSpace(value) != value:
		return fmt.Errorf("found %s, which begins or ends with a blank or has a character that cannot be seen", quote(value))
	}
	return nil
}

func (a *accounts) tokenOwner(t TokenAccount) (person string, taken bool) {
	for _, other := range a.tokens[t.Issuer] {
		if other.claim == t.Claim && strings.EqualFold(other.value, t.Value) {
			return other.person, true
		}
	}
	return "", false
}

func (a *accounts) of(id Identity) []string {
	var names []string
	if name, ok := a.users[strings.ToLower(id.User)]; ok && id.User != "" {
		names = append(names, name)
	}
	if id.Token != nil {
		for _, t := range a.tokens[id.Token.Issuer] {
			claim, ok := id.Token.Claims[t.claim]
			if !ok && t.claim == "sub" {
				claim = id.Token.Subject
			}
			if claimIs(claim, t.value) {
				names = append(names, t.person)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// claimIs compares a claim with the value of an account. Who is taken for the
// requester cannot approve, so that in doubt they are equal: in upper and lower
// case, as an issuer may let people change the case of their login; a number and
// its text, such as GitHub's actor_id; and any element of a list.
func claimIs(claim any, value string) bool {
	switch c := claim.(type) {
	case string:
		return strings.EqualFold(c, value)
	case json.Number:
		f, err := c.Float64()
		return c.String() == value || err == nil && sameNumber(f, value)
	case float64:
		return sameNumber(c, value)
	case bool:
		return strings.EqualFold(strconv.FormatBool(c), value)
	case []any:
		return slices.ContainsFunc(c, func(element any) bool { return claimIs(element, value) })
	}
	return false
}

func sameNumber(f float64, value string) bool {
	v, err := strconv.ParseFloat(value, 64)
	return err == nil && v == f
}
