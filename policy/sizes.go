package policy

import "cel.dev/cel-go/common/cost"

// How large the parts of a request usually are: texts in bytes, the others in
// elements. The core takes no app, channel, version or label that is larger. What
// the machine says of a peer and an issuer of a token can be.
const (
	usualText   = 256
	usualLabels = 32
	usualGroups = 64
	usualClaim  = 256      // a text, list or object in the claims
	usualClaims = 16 << 10 // all texts and values in them together
)

// fits reports whether a request is no larger than usual.
func fits(q *Request) bool {
	id := &q.Requester
	texts := []string{q.App, q.Channel, q.Version, q.Digest, q.Key, q.BreakGlass, q.Last.Request, q.Last.Version, q.Last.Digest, id.User, id.Unit}
	for _, s := range texts {
		if len(s) > usualText {
			return false
		}
	}
	for name, value := range q.Labels {
		if len(name) > usualText || len(value) > usualText {
			return false
		}
	}
	for _, name := range id.Groups {
		if len(name) > usualText {
			return false
		}
	}
	if len(q.Labels) > usualLabels || len(id.Groups) > usualGroups {
		return false
	}
	if id.Token == nil {
		return true
	}
	left := usualClaims
	return len(id.Token.Issuer) <= usualText && len(id.Token.Subject) <= usualText && claimsFit(id.Token.Claims, &left)
}

// claimsFit reports whether claims are no larger than usual, and takes what they
// have from left.
func claimsFit(claim any, left *int) bool {
	size := 0
	switch claim := claim.(type) {
	case string:
		size = len(claim)
		*left -= size
	case []any:
		size = len(claim)
		for _, element := range claim {
			if !claimsFit(element, left) {
				return false
			}
		}
	case map[string]any:
		size = len(claim)
		for name, element := range claim {
			*left -= len(name)
			if len(name) > usualClaim || !claimsFit(element, left) {
				return false
			}
		}
	}
	*left--
	return size <= usualClaim && *left >= 0
}

// sizes tells the estimate of costs how large a request is that fits.
type sizes struct {
	claims bool // them too; else nothing is known of them
}

var _ cost.Estimator = sizes{}

// EstimateSize returns the size of a part of a variable, or nil if it is not known.
func (s sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 0 || path[0] == "claims" && !s.claims {
		return nil
	}
	most := uint64(usualText)
	switch {
	case path[0] == "claims":
		most = usualClaim
	case path[0] == "labels" && len(path) == 1:
		most = usualLabels
	case path[0] == "peer" && len(path) == 2 && path[1] == "groups":
		most = usualGroups
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

// EstimateCallCost leaves the cost of functions to CEL.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
