package policy

import (
	"regexp"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Time zones and regular expressions must be written out in a condition, so that
// they are looked up and compiled once, and no requester can bring their own.

// patterns are the regular expressions that conditions name. Filled while a policy
// is compiled, only read afterwards.
type patterns map[string]*regexp.Regexp

func (p patterns) load(text string) error {
	compiled, err := regexp.Compile(text)
	if err != nil {
		return err
	}
	p[text] = compiled
	return nil
}

// binding is what matches of CEL does, with the patterns that are there.
func (p patterns) binding() *functions.Overload {
	return &functions.Overload{Operator: overloads.Matches, Binary: func(text, pattern ref.Val) ref.Val {
		s, isText := text.(types.String)
		name, isTextToo := pattern.(types.String)
		compiled, known := p[string(name)]
		if !isText || !isTextToo || !known {
			return types.NewErr("no such overload: matches wants a text and a pattern")
		}
		return types.Bool(compiled.MatchString(string(s)))
	}}
}

// loadLiterals loads the time zones and patterns of an expression.
func (e *engine) loadLiterals(checked *ast.AST, bad func(id int64, format string, args ...any)) {
	zoned := zonedOverloads()
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(expr ast.Expr) {
		if expr.Kind() != ast.CallKind {
			return
		}
		load, want := e.zones.load, `want a time zone that is written out, such as "Europe/Zurich"`
		switch call := expr.AsCall(); {
		case call.FunctionName() == overloads.Matches:
			load, want = e.patterns.load, `want a regular expression that is written out, such as "^v[0-9]+$"`
		case !zoned[overloadOf(checked, expr)]:
			return
		}
		args := expr.AsCall().Args()
		last := args[len(args)-1]
		text, ok := literal(last)
		if !ok {
			bad(last.ID(), "%s", want)
			return
		}
		if err := load(text); err != nil {
			bad(last.ID(), "%w", err)
		}
	}))
}

// overloadOf returns which of the functions with one name a call is, or "" if the
// types do not tell.
func overloadOf(checked *ast.AST, call ast.Expr) string {
	if r := checked.ReferenceMap()[call.ID()]; r != nil && len(r.OverloadIDs) == 1 {
		return r.OverloadIDs[0]
	}
	return ""
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}
