package capgo_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// makers are the only functions of the package in which a Payload may be
// written down. Whoever adds one must show that it lets no caller choose bytes.
var makers = map[string]bool{
	"ChecksumPayload":   true, // a digest, in one of two forms
	"SessionKeyPayload": true, // nothing
	"UnmarshalBinary":   true, // what the other two can make
}

// TestOnlyMakersMakePayloads reads the package's source: the compiler keeps
// other packages from making a payload, and this test keeps this one from it.
func TestOnlyMakersMakePayloads(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	found := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			ast.Inspect(decl, func(n ast.Node) bool {
				lit, isLit := n.(*ast.CompositeLit)
				if !isLit {
					return true
				}
				name, isName := lit.Type.(*ast.Ident)
				if !isName || name.Name != "Payload" || len(lit.Elts) == 0 {
					return true
				}
				found++
				if !ok || !makers[fn.Name.Name] {
					t.Errorf("%s: a Payload is made outside of the functions that may", fset.Position(lit.Pos()))
				}
				return true
			})
		}
	}
	if found < len(makers) {
		t.Errorf("found %d places that make a Payload, want at least %d: this test no longer sees them", found, len(makers))
	}
}
