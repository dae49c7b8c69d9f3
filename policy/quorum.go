package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// quorum seats people at requirements. A requirement has as many seats as its
// threshold, and a person takes one seat at most, so that it is a matching in a
// bipartite graph. Whoever has a seat keeps one, though it may move to another
// requirement to make room.
type quorum struct {
	reqs  []Requirement
	seats [][]string // who sits at each requirement
	can   func(person string, req int) bool
	dead  []bool // requirements from which no search will reach a free seat
}

func newQuorum(reqs []Requirement, can func(person string, req int) bool) *quorum {
	return &quorum{reqs: reqs, seats: make([][]string, len(reqs)), can: can, dead: make([]bool, len(reqs))}
}

// free is how many seats a requirement has left. One without a threshold still
// wants somebody: it is never met by nobody.
func (q *quorum) free(req int) int { return max(q.reqs[req].Threshold, 1) - len(q.seats[req]) }

// seat finds a seat for somebody who has none, by an augmenting path, if there is
// one. Requirements that a search in vain has been through are full, and whoever
// sits there can sit there only: later searches leave them out, so that all of
// them together cost little more than one.
func (q *quorum) seat(person string) {
	if tried := slices.Clone(q.dead); !q.trySeat(person, tried) {
		q.dead = tried
	}
}

func (q *quorum) trySeat(person string, tried []bool) bool {
	for req := range q.reqs {
		if !tried[req] && q.can(person, req) && q.free(req) > 0 {
			q.seats[req] = append(q.seats[req], person)
			return true
		}
	}
	for req := range q.reqs {
		if tried[req] || !q.can(person, req) {
			continue
		}
		tried[req] = true
		for i, other := range q.seats[req] {
			if q.trySeat(other, tried) {
				q.seats[req][i] = person
				return true
			}
		}
	}
	return false
}

// Missing returns what requirements lack, given approvals that were verified, or
// nothing. Each person counts once, whatever keys they have, for one
// requirement; those who are excepted do not count.
//
// A person who could count for several requirements counts where it leaves the
// fewest to wait for, and where the others can still be met. Candidates are the
// members of the groups who have not given an approval of the kind that is
// wanted; with user verification, only those who have a FIDO2 key.
func (p *People) Missing(reqs []Requirement, approvals []Approval, except []string) []Missing {
	approved, verified := make(map[string]bool), make(map[string]bool)
	for _, a := range approvals {
		approved[a.Person] = true
		verified[a.Person] = verified[a.Person] || a.UserVerified
	}
	q := newQuorum(reqs, func(name string, req int) bool {
		if slices.Contains(except, name) {
			return false
		}
		if approved[name] {
			return p.member(reqs[req].From, name) && (verified[name] || !reqs[req].UserVerification)
		}
		return p.eligible(&reqs[req], name)
	})
	for _, name := range slices.Sorted(maps.Keys(approved)) {
		q.seat(name)
	}
	// Those who have not approved take the seats that are left, as if they had:
	// this moves the others to where they leave room.
	for _, name := range p.membersOf(reqs) {
		if !approved[name] {
			q.seat(name)
		}
	}
	var missing []Missing
	for req, r := range reqs {
		q.seats[req] = slices.DeleteFunc(q.seats[req], func(name string) bool { return !approved[name] })
		if q.free(req) <= 0 {
			continue
		}
		candidates := []string{}
		for _, name := range p.membersOf(reqs[req : req+1]) {
			counts := approved[name] && (verified[name] || !r.UserVerification)
			if !counts && !slices.Contains(except, name) && p.eligible(&r, name) {
				candidates = append(candidates, name)
			}
		}
		missing = append(missing, Missing{From: slices.Clone(r.From), Count: q.free(req), UserVerification: r.UserVerification, Candidates: candidates})
	}
	return missing
}

// eligible reports whether somebody could meet a requirement, with some key.
func (p *People) eligible(r *Requirement, name string) bool {
	return p.member(r.From, name) && p.persons[name].approves && (p.persons[name].verifies || !r.UserVerification)
}

// membersOf returns the members of all groups of some requirements, sorted.
func (p *People) membersOf(reqs []Requirement) []string {
	names := make(map[string]bool)
	for _, r := range reqs {
		for _, group := range r.From {
			maps.Copy(names, p.groups[group])
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Feasible says why requirements can never be met, even if everybody agrees who is
// not excepted: a group that is not there, too few people, or too few for all
// requirements at once, as a person counts for one of them only. When keys are
// valid is not considered. An error joins all reasons.
func (p *People) Feasible(reqs []Requirement, except []string) error {
	var faults []error
	for _, r := range reqs {
		for _, group := range r.From {
			if p.groups[group] == nil {
				faults = append(faults, fmt.Errorf("found the group %s, want one of those in people.groups: %s", quote(group), enumerate(slices.Sorted(maps.Keys(p.groups)))))
			}
		}
		if r.Threshold < 1 {
			faults = append(faults, fmt.Errorf("found the threshold %d, want at least 1", r.Threshold))
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	for i := range reqs {
		faults = append(faults, p.shortage(reqs[i:i+1], except))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return p.shortage(reqs, except)
}

// shortage seats everybody and says for which requirements there are too few
// people.
func (p *People) shortage(reqs []Requirement, except []string) error {
	q := newQuorum(reqs, func(name string, req int) bool {
		return !slices.Contains(except, name) && p.eligible(&reqs[req], name)
	})
	everybody := p.membersOf(reqs)
	for _, name := range everybody {
		q.seat(name)
	}
	short := make([]bool, len(reqs))
	for req := range reqs {
		if q.free(req) > 0 {
			short[req] = true
			break
		}
	}
	if !slices.Contains(short, true) {
		return nil
	}
	// With it, all requirements that share their people with it, directly or
	// through others: together they want more people than they can have (Hall's
	// theorem).
	var people []string
	for grown := true; grown; {
		grown, people = false, nil
		for _, name := range everybody {
			if q.canAny(name, short) {
				people = append(people, name)
				grown = q.include(name, short) || grown
			}
		}
	}
	wanted, verify := 0, false
	var groups []string
	for req, r := range reqs {
		if short[req] {
			wanted += r.Threshold
			verify = verify || r.UserVerification
			groups = append(groups, r.From...)
		}
	}
	slices.Sort(groups)
	text := fmt.Sprintf("%d different people of %s must agree, and there are only %d who can: %s",
		wanted, enumerate(slices.Compact(groups)), len(people), enumerate(people))
	if verify {
		text += "; for user verification a person needs a FIDO2 key"
	}
	if len(except) > 0 {
		text += "; not counting " + enumerate(except)
	}
	return errors.New(text)
}

// canAny reports whether somebody can sit at any of the marked requirements.
func (q *quorum) canAny(name string, marked []bool) bool {
	for req := range q.reqs {
		if marked[req] && q.can(name, req) {
			return true
		}
	}
	return false
}

// include marks the requirement at which somebody sits, and reports whether that
// is new.
func (q *quorum) include(name string, marked []bool) bool {
	for req, seats := range q.seats {
		if slices.Contains(seats, name) && !marked[req] {
			marked[req] = true
			return true
		}
	}
	return false
}

// maxEnumerated is how many names an error holds.
const maxEnumerated = 20

func enumerate(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	if n := len(names); n > maxEnumerated {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxEnumerated], ", "), n-maxEnumerated)
	}
	return strings.Join(names, ", ")
}
