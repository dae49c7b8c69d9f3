package policy

import (
	"fmt"
	"strings"
)

// Shadow is a rule that decides nothing, or not what it seems to.
type Shadow struct {
	Rule int // its position, from zero
	// Field of the rule that is to blame, such as "when", or "" for all of it.
	Field  string
	Reason string // for people
}

// Shadowed looks for rules that can never decide. It may miss one, but what it
// finds is so. There is at most one finding for each rule.
func (p *Policy) Shadowed() []Shadow {
	always := make([]*bool, len(p.rules)) // what a condition always is, if it is known
	for i := range p.rules {
		if value, constant := p.engine.constant(p.rules[i].when); constant {
			always[i] = &value
		}
	}
	var found []Shadow
	for j := range p.rules {
		if s, ok := p.shadowed(j, always); ok {
			found = append(found, s)
		}
	}
	return found
}

func (p *Policy) shadowed(j int, always []*bool) (Shadow, bool) {
	r := &p.rules[j]
	if always[j] != nil && !*always[j] {
		return Shadow{j, "when", fmt.Sprintf("rule %q never matches: its condition is always false", r.Name)}, true
	}
	for i := range p.rules[:j] {
		a := &p.rules[i]
		if a.coversLists(&r.Rule) && (a.When == r.When || always[i] != nil && *always[i]) {
			return Shadow{j, "", fmt.Sprintf("rule %q is never reached: rule %q before it matches everything that it matches", r.Name, a.Name)}, true
		}
	}
	if who := p.onlyThemselves(r); who != "" {
		return Shadow{j, "approvals", fmt.Sprintf("what rule %q lets wait can never be approved: it is for %s, who does not count as an approver of what they request, and without them it wants more people than there are", r.Name, who)}, true
	}
	return Shadow{}, false
}

// coversLists reports whether the lists of rule a match every request that those
// of rule b match. It may miss a case, but never claims one that is not so.
func (a *Rule) coversLists(b *Rule) bool {
	return a.BreakGlass == b.BreakGlass &&
		globsCover(a.Apps, b.Apps) && globsCover(a.Channels, b.Channels) && globsCover(a.Versions, b.Versions) &&
		(len(a.Tokens) == 0 || namesCover(a.Tokens, b.Tokens) && len(b.Tokens) > 0) &&
		a.coversRequester(b)
}

func (a *Rule) coversRequester(b *Rule) bool {
	if a.forEverybody() {
		return true
	}
	return !b.forEverybody() && namesCover(a.Users, b.Users) && namesCover(a.Groups, b.Groups) && namesCover(a.Units, b.Units)
}

// globsCover reports whether what one of b matches, one of a matches; an empty
// list matches everything.
func globsCover(a, b []Glob) bool {
	if len(a) == 0 {
		return true
	}
	if len(b) == 0 {
		b = []Glob{"*"}
	}
	return namesCover(a, b)
}

// namesCover is the same, but for lists of which an empty one matches nothing.
func namesCover(a, b []Glob) bool {
	for _, inner := range b {
		// A pattern matches all that another does if it matches that pattern read as
		// text: only a star can take up a star.
		if !anyOf(a, string(inner)) {
			return false
		}
	}
	return true
}

// onlyThemselves returns the users of a rule, all named in full, of whom each is a
// person without whom the rule's requirements cannot be met; else "".
func (p *Policy) onlyThemselves(r *rule) string {
	if r.Effect != Approve || len(r.Users) == 0 || len(r.Groups) > 0 || len(r.Units) > 0 {
		return ""
	}
	var names []string
	for _, user := range r.Users {
		if strings.Contains(string(user), "*") {
			return ""
		}
		people := p.People().Of(Identity{User: string(user)})
		if p.People().Feasible(r.Approvals, people) == nil {
			return ""
		}
		names = append(names, fmt.Sprintf("user %q", string(user)))
	}
	return strings.Join(names, " and ")
}
