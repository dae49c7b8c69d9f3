package policy

// list is one of the things about a rule that must fit a request.
type list int

// In the order in which they are looked at.
const (
	noMismatch list = iota // all fit
	listBreakGlass
	listApps
	listChannels
	listVersions
	listRequester // users, groups and units
	listTokens
)

// mismatch returns the first list that does not fit a request. It leaves the
// condition out, which costs more, and allocates nothing.
func (r *Rule) mismatch(q *Request) list {
	switch {
	case r.BreakGlass != (q.BreakGlass != ""):
		return listBreakGlass
	case !anyMatch(r.Apps, q.App):
		return listApps
	case !anyMatch(r.Channels, q.Channel):
		return listChannels
	case !anyMatch(r.Versions, q.Version):
		return listVersions
	case !r.matchesRequester(&q.Requester):
		return listRequester
	case len(r.Tokens) > 0 && (q.Requester.Token == nil || !anyOf(r.Tokens, q.Requester.Token.Issuer)):
		return listTokens
	}
	return noMismatch
}

func (r *Rule) matchesRequester(id *Identity) bool {
	return r.forEverybody() ||
		anyOf(r.Users, id.User) ||
		anyOfAny(r.Groups, id.Groups) ||
		id.Unit != "" && anyOf(r.Units, id.Unit) // who runs in no unit is not in "*"
}

// forEverybody: the rule asks for no user, group or unit.
func (r *Rule) forEverybody() bool {
	return len(r.Users) == 0 && len(r.Groups) == 0 && len(r.Units) == 0
}
