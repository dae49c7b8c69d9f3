package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// variables declares what conditions speak of:
//
//	request  .app .channel .version .digest .files .key .break_glass
//	peer     .uid .gid .user .groups .unit ("" if it runs in none)
//	token    .issuer .subject, if there is a token
//	claims   of the token, by name; of any type; none without a token
//	labels   of the request, by name; texts
//	now      the time of the decision
//	last     .request .version .digest .time of what was signed last for the same
//	         app and channel, if something was
func variables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("request", requestType.celType()),
		cel.Variable("peer", peerType.celType()),
		cel.Variable("token", tokenType.celType()),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("last", lastType.celType()),
	}
}

// values are the variables of one request. Each is made when a condition uses it
// first, and then kept: evaluating many conditions takes no more memory than one.
type values struct {
	of *Request

	request, peer, token, claims, labels, now, last ref.Val
}

var _ interpreter.Activation = (*values)(nil)

// ResolveName returns a variable, or false if there is none of that name.
func (v *values) ResolveName(name string) (any, bool) {
	switch name {
	case "request":
		return kept(&v.request, v.of, requestValue)
	case "peer":
		return kept(&v.peer, v.of, peerValue)
	case "token":
		return kept(&v.token, v.of, tokenValue)
	case "claims":
		return kept(&v.claims, v.of, claimsValue)
	case "labels":
		return kept(&v.labels, v.of, labelsValue)
	case "now":
		return kept(&v.now, v.of, nowValue)
	case "last":
		return kept(&v.last, v.of, lastValue)
	}
	return nil, false
}

// Parent returns nil: there are no other variables.
func (v *values) Parent() interpreter.Activation { return nil }

func kept(value *ref.Val, q *Request, make func(*Request) ref.Val) (any, bool) {
	if *value == nil {
		*value = make(q)
	}
	return *value, true
}

func requestValue(q *Request) ref.Val {
	return requestType.object(types.String(q.App), types.String(q.Channel), types.String(q.Version),
		types.String(q.Digest), types.Int(q.Files), types.String(q.Key), types.String(q.BreakGlass))
}

func peerValue(q *Request) ref.Val {
	id := &q.Requester
	return peerType.object(types.Int(id.UID), types.Int(id.GID), types.String(id.User), texts(id.Groups), types.String(id.Unit))
}

func tokenValue(q *Request) ref.Val {
	token := q.Requester.Token
	if token == nil {
		return tokenType.object(nil, nil)
	}
	return tokenType.object(types.String(token.Issuer), types.String(token.Subject))
}

func claimsValue(q *Request) ref.Val {
	if q.Requester.Token == nil {
		return fromJSON(map[string]any{})
	}
	return fromJSON(q.Requester.Token.Claims)
}

func labelsValue(q *Request) ref.Val {
	labels := make(map[ref.Val]ref.Val, len(q.Labels))
	for k, v := range q.Labels {
		labels[types.String(k)] = types.String(v)
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, labels)
}

func nowValue(q *Request) ref.Val { return types.Timestamp{Time: q.Time.UTC()} }

func lastValue(q *Request) ref.Val {
	if q.Last == (Release{}) {
		return lastType.object(nil, nil, nil, nil)
	}
	return lastType.object(types.String(q.Last.Request), types.String(q.Last.Version),
		types.String(q.Last.Digest), types.Timestamp{Time: q.Last.Time.UTC()})
}

func texts(list []string) ref.Val {
	values := make([]ref.Val, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, values)
}

// fromJSON makes a value of CEL of one of JSON, all the way down and at once.
func fromJSON(v any) ref.Val {
	switch v := v.(type) {
	case map[string]any:
		values := make(map[ref.Val]ref.Val, len(v))
		for k, element := range v {
			values[types.String(k)] = fromJSON(element)
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, values)
	case []any:
		values := make([]ref.Val, len(v))
		for i, element := range v {
			values[i] = fromJSON(element)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, values)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}
