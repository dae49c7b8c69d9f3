package policy

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// The types of those variables that have fields. A name that is no field is found
// when the policy is compiled. The types' own names cannot be written in CEL, so
// that no expression makes such an object.
var (
	requestType = &objectType{
		name: "@request",
		fields: []field{
			{"app", cel.StringType},
			{"channel", cel.StringType},
			{"version", cel.StringType},
			{"digest", cel.StringType},
			{"files", cel.IntType},
			{"key", cel.StringType},
			{"break_glass", cel.StringType},
		},
	}
	peerType = &objectType{
		name: "@peer",
		fields: []field{
			{"uid", cel.IntType},
			{"gid", cel.IntType},
			{"user", cel.StringType},
			{"groups", cel.ListType(cel.StringType)},
			{"unit", cel.StringType},
		},
	}
	tokenType = &objectType{
		name: "@token",
		fields: []field{
			{"issuer", cel.StringType},
			{"subject", cel.StringType},
		},
		absent: "the requester has no token; ask with has(token.%s) before using it",
	}
	lastType = &objectType{
		name: "@last",
		fields: []field{
			{"request", cel.StringType},
			{"version", cel.StringType},
			{"digest", cel.StringType},
			{"time", cel.TimestampType},
		},
		absent: "nothing was signed yet for this app and channel; ask with has(last.%s) before using it",
	}
)

// objectType is a type with fields.
type objectType struct {
	name   string
	fields []field
	absent string // why a field has no value, if it can have none
}

type field struct {
	name string
	kind *cel.Type
}

func (t *objectType) celType() *cel.Type { return cel.ObjectType(t.name) }

// object makes an object of the values of its fields, in order; nil is none.
func (t *objectType) object(values ...ref.Val) *object { return &object{t, values} }

// access makes what CEL reads a field with.
func (t *objectType) access(name string) (*types.FieldType, bool) {
	for i, f := range t.fields {
		if f.name != name {
			continue
		}
		return &types.FieldType{
			Type: f.kind,
			IsSet: func(target any) bool {
				o, ok := target.(*object)
				return ok && o.is == t && o.values[i] != nil
			},
			GetFrom: func(target any) (any, error) {
				o, ok := target.(*object)
				if !ok || o.is != t {
					return nil, fmt.Errorf("no such field: %s", name)
				}
				if o.values[i] == nil {
					return nil, fmt.Errorf(t.absent, name)
				}
				return o.values[i], nil
			},
		}, true
	}
	return nil, false
}

// object is a value with fields. It does nothing else in CEL.
type object struct {
	is     *objectType
	values []ref.Val
}

var _ ref.Val = (*object)(nil)

func (o *object) Type() ref.Type { return o.is.celType() }

func (o *object) Value() any { return o }

func (o *object) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(o) == other) }

func (o *object) ConvertToType(to ref.Type) ref.Val {
	if to == types.TypeType {
		return o.is.celType()
	}
	return types.NewErr("%s cannot be converted to %s", o.is.name, to.TypeName())
}

func (o *object) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot be converted to %v", o.is.name, to)
}

// provider adds the types above to those of CEL.
type provider struct{ types.Provider }

func (p provider) find(name string) *objectType {
	for _, t := range []*objectType{requestType, peerType, tokenType, lastType} {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if t := p.find(name); t != nil {
		return types.NewTypeTypeWithParam(t.celType()), true
	}
	return p.Provider.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if t := p.find(name); t != nil {
		var names []string
		for _, f := range t.fields {
			names = append(names, f.name)
		}
		return names, true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if t := p.find(name); t != nil {
		return t.access(field)
	}
	return p.Provider.FindStructFieldType(name, field)
}
