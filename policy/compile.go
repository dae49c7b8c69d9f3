package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a [Document].
const (
	maxThreshold    = MaxQuorum
	maxRequirements = 16 // of one rule

	defaultExpires = 24 * time.Hour
	minExpires     = time.Minute
	maxExpires     = 30 * 24 * time.Hour

	minWithin = time.Second
	maxWithin = 366 * 24 * time.Hour
)

// Compile validates a document and returns the policy, or all that is wrong with
// it: an error that joins one [*FieldError] for each fault. The policy shares
// nothing with the document.
func Compile(d Document) (*Policy, error) {
	c := compiler{doc: d}
	c.loadPeople()
	p := &Policy{people: c.people, freezes: c.checkFreezes()}
	named := make(map[string]int)
	for i := range d.Rules {
		p.rules = append(p.rules, c.checkRule(fmt.Sprintf("rules[%d]", i), d.Rules[i].clone(), named, i))
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	p.engine = c.engine
	var err error
	if p.hash, err = d.hash(p.rules); err != nil {
		return nil, err
	}
	return p, nil
}

// New is [Compile] of a document that has nothing but rules.
func New(rules []Rule) (*Policy, error) { return Compile(Document{Rules: rules}) }

// hash is over JSON, in which fields have an order and keys of maps are sorted.
// The rules are the checked ones, with their defaults filled in.
func (d *Document) hash(rules []rule) (string, error) {
	canonical := struct {
		Rules          []Rule              `json:"rules,omitempty"`
		AllowedSigners []byte              `json:"allowed_signers,omitempty"`
		Groups         map[string][]string `json:"groups,omitempty"`
		Accounts       map[string]Accounts `json:"accounts,omitempty"`
		Freezes        Freezes             `json:"freezes,omitzero"`
	}{AllowedSigners: d.AllowedSigners, Groups: d.Groups, Accounts: d.Accounts, Freezes: d.Freezes}
	for _, r := range rules {
		canonical.Rules = append(canonical.Rules, r.Rule)
	}
	text, err := json.Marshal(canonical)
	if err != nil {
		return "", fmt.Errorf("hash of the policy: %w", err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// compiler collects what is wrong with a document.
type compiler struct {
	doc    Document
	errs   []error
	people *People
	engine *engine // once a rule has a condition
}

func (c *compiler) bad(field, format string, args ...any) {
	c.errs = append(c.errs, &FieldError{Field: field, Err: fmt.Errorf(format, args...)})
}

// loadPeople sets people, to nobody if they are wrong.
func (c *compiler) loadPeople() {
	people, err := NewPeople(c.doc.AllowedSigners, c.doc.Groups, c.doc.Accounts)
	if err != nil {
		c.errs = append(c.errs, faults(err)...)
		return
	}
	c.people = people
}

// faults takes apart what was joined.
func faults(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (c *compiler) checkRule(field string, r Rule, named map[string]int, i int) rule {
	if r.Name == "" {
		c.bad(field+".name", "found no name, want one: it stands in answers and in the log")
	} else if first, dup := named[r.Name]; dup {
		c.bad(field+".name", "found %q, which rules[%d] has already; names are unique", r.Name, first)
	} else {
		named[r.Name] = i
	}
	c.checkText(field+".name", r.Name, "")
	switch r.Effect {
	case Allow, Deny, Approve:
	default:
		c.bad(field+".effect", "found %q, want %q, %q or %q", r.Effect, Allow, Deny, Approve)
	}
	if r.Message != "" && r.Effect == Allow {
		c.bad(field+".message", "found a message on a rule that allows; a message is for those who are denied or have to wait")
	}
	c.checkText(field+".message", r.Message, "\n")
	for _, list := range []struct {
		field string
		globs []Glob
	}{
		{"apps", r.Apps},
		{"channels", r.Channels},
		{"versions", r.Versions},
		{"users", r.Users},
		{"groups", r.Groups},
		{"units", r.Units},
		{"tokens", r.Tokens},
	} {
		c.checkGlobs(field+"."+list.field, list.globs)
	}
	c.checkApprovals(field, &r)
	c.checkLimits(field, &r)
	return rule{r, c.checkWhen(field+".when", r.When)}
}

// checkText refuses what could make a line in a log or on a terminal say
// something else than it does.
func (c *compiler) checkText(field, text, besides string) {
	if !utf8.ValidString(text) {
		c.bad(field, "found %q, which is not valid UTF-8", text)
		return
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && !strings.ContainsRune(besides, r) {
			c.bad(field, "found %q, in which %U cannot be printed", text, r)
			return
		}
	}
}

func (c *compiler) checkGlobs(field string, globs []Glob) {
	for i, g := range globs {
		if err := g.check(); err != nil {
			c.bad(fmt.Sprintf("%s[%d]", field, i), "%w", err)
		}
	}
}

// checkApprovals checks all that a rule says about approvals, and fills in
// defaults.
func (c *compiler) checkApprovals(field string, r *Rule) {
	if r.Effect != Approve {
		if len(r.Approvals) > 0 {
			c.bad(field+".approvals", "found approvals on a rule with effect %q; they want effect %q", r.Effect, Approve)
		}
		if r.Expires != 0 {
			c.bad(field+".expires", "found a time to wait for approvals on a rule with effect %q; it wants effect %q", r.Effect, Approve)
		}
		if r.BreakGlass {
			c.bad(field+".break_glass", "found a rule for emergencies with effect %q, want effect %q: it passes freezes and limits, so people must agree", r.Effect, Approve)
		}
		return
	}
	if len(r.Approvals) == 0 {
		c.bad(field+".approvals", "found none, want at least one; a rule that needs nobody's approval has effect %q", Allow)
	}
	c.checkRequirements(field+".approvals", r.Approvals)
	r.Expires = cmp.Or(r.Expires, defaultExpires)
	if r.Expires < minExpires || r.Expires > maxExpires {
		c.bad(field+".expires", "found %v, want from %v to %v", r.Expires, minExpires, maxExpires)
	}
}

// checkRequirements checks requirements one by one and, if each is right, whether
// the people there are can meet all of them.
func (c *compiler) checkRequirements(field string, reqs []Requirement) {
	before := len(c.errs)
	if len(reqs) > maxRequirements {
		c.bad(field, "found %d, want at most %d", len(reqs), maxRequirements)
	}
	for i, r := range reqs {
		field := fmt.Sprintf("%s[%d]", field, i)
		if len(r.From) == 0 {
			c.bad(field+".from", "found no group, want the groups of which people must agree")
		}
		for j, group := range r.From {
			field := fmt.Sprintf("%s.from[%d]", field, j)
			if _, ok := c.doc.Groups[group]; !ok {
				c.bad(field, "found %q, which is not a group of people; there are %s", group, quotedKeys(c.doc.Groups))
			} else if slices.Contains(r.From[:j], group) {
				c.bad(field, "found %q twice", group)
			}
		}
		if r.Threshold < 1 || r.Threshold > maxThreshold {
			c.bad(field+".threshold", "found %d, want from 1 to %d", r.Threshold, maxThreshold)
		}
	}
	people := 0
	for _, r := range reqs {
		people += r.Threshold
	}
	if len(c.errs) == before && people > MaxQuorum {
		c.bad(field, "found %d people who must agree, want at most %d in all", people, MaxQuorum)
	}
	if len(reqs) == 0 || len(c.errs) > before || c.people == nil {
		return
	}
	if err := c.people.Feasible(reqs, nil); err != nil {
		for _, err := range faults(err) {
			c.bad(field, "found %s, which can never be met: %w", describe(reqs), err)
		}
	}
}

func quotedKeys[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return strings.Join(names, ", ")
}

func (c *compiler) checkLimits(field string, r *Rule) {
	l := r.Limits
	if l == nil {
		return
	}
	field += ".limits"
	switch {
	case r.Effect == Deny:
		c.bad(field, "found limits on a rule that denies; nothing is signed by it")
	case r.BreakGlass:
		c.bad(field, "found limits on a rule for emergencies, which pass all limits")
	case !l.IncreasingVersions && len(l.Rates) == 0:
		c.bad(field, "found no limit in it, want versions or signatures")
	}
	for i, rate := range l.Rates {
		field := fmt.Sprintf("%s.signatures[%d]", field, i)
		if rate.Most < 1 {
			c.bad(field+".most", "found %d, want at least 1; a rule by which nothing is signed has effect %q", rate.Most, Deny)
		}
		if rate.Within < minWithin || rate.Within > maxWithin {
			c.bad(field+".within", "found %v, want from %v to %v (366 days)", rate.Within, minWithin, maxWithin)
		}
		switch rate.Per {
		case PerRule, PerApp, PerRequester:
		default:
			c.bad(field+".per", "found %q, want %q, %q or %q", rate.Per, PerRule, PerApp, PerRequester)
		}
	}
}

// checkFreezes returns a copy of what the document says about freezes.
func (c *compiler) checkFreezes() Freezes {
	f := c.doc.Freezes
	c.checkGlobs("freezes.users", f.Users)
	c.checkGlobs("freezes.groups", f.Groups)
	c.checkRequirements("freezes.lift", f.Lift)
	return Freezes{slices.Clone(f.Users), slices.Clone(f.Groups), cloneRequirements(f.Lift)}
}

// checkWhen compiles a condition, or returns nil if there is none.
func (c *compiler) checkWhen(field, text string) *condition {
	if text == "" {
		return nil
	}
	before := len(c.errs)
	c.checkText(field, text, "\n\t")
	if len(c.errs) > before {
		return nil // what is seen may not be what is there
	}
	if c.engine == nil {
		engine, err := newEngine()
		if err != nil {
			c.bad(field, "%w", err)
			return nil
		}
		c.engine = engine
	}
	when, errs := c.engine.compile(text)
	for _, err := range errs {
		err.Field = field
		c.errs = append(c.errs, err)
	}
	return when
}
