package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap/zapcore"
)

// decodeScalar reads a single value into dst. What is a number to YAML but not
// meant as one (a mode, a size) is taken as it is written in the file.
func decodeScalar(n ast.Node, f field, dst reflect.Value) error {
	found := describe(n)
	if f.kind == "uri" {
		found = describeKind(n)
	}
	mismatch := fmt.Errorf("found %s, want %s", found, describeType(f, dst.Type()))
	text, isText := textOf(n)
	switch dst.Interface().(type) {
	case time.Duration:
		return decodeNumber(n, f, dst, mismatch, func(s string) (int64, error) {
			d, err := time.ParseDuration(s)
			if isInteger(n) {
				return 0, fmt.Errorf("found %s, want a duration with its unit, such as %ss", s, s)
			}
			return int64(d), err
		})
	case ByteSize:
		return decodeNumber(n, f, dst, mismatch, func(s string) (int64, error) {
			size, err := parseByteSize(s)
			return int64(size), err
		})
	case os.FileMode:
		text, ok := written(n)
		if !ok || !octalMode.MatchString(text) {
			return mismatch
		}
		mode, err := strconv.ParseUint(text, 8, 32)
		if err != nil {
			return mismatch
		}
		dst.SetUint(mode)
		return nil
	case zapcore.Level:
		if !isText || !f.allows(text) {
			return mismatch
		}
		level, err := zapcore.ParseLevel(text)
		if err != nil {
			return mismatch
		}
		dst.SetInt(int64(level))
		return nil
	}
	switch dst.Kind() {
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if source := n.GetToken().Value; !ok || source != "true" && source != "false" {
			return mismatch
		}
		dst.SetBool(b.Value)
		return nil
	case reflect.Int:
		if !isInteger(n) {
			return mismatch
		}
		return decodeNumber(n, f, dst, mismatch, parseInt)
	case reflect.String:
		if !isText {
			if _, number := written(n); number || isBool(n) {
				return fmt.Errorf("found %s, want text: put it in quotes", found)
			}
			return mismatch
		}
		check := checkPrintable
		if f.kind == "expression" {
			check = checkExpression
		}
		if err := check(text); err != nil {
			return err
		}
		if text == "" && (f.required || f.kind == "path" || f.kind == "expression") || !f.allows(text) {
			return mismatch
		}
		if _, err := time.Parse(time.RFC3339, text); f.kind == "time" && err != nil {
			return mismatch
		}
		dst.SetString(text)
		return nil
	}
	panic("config: no decoder for " + dst.Type().String()) // a field of a new type in this package
}

// decodeNumber parses what is written and holds it against the field's range.
func decodeNumber(n ast.Node, f field, dst reflect.Value, mismatch error, parse func(string) (int64, error)) error {
	text, ok := written(n)
	if !ok {
		return mismatch
	}
	v, err := parse(text)
	if err != nil {
		if strings.HasPrefix(err.Error(), "found ") {
			return err
		}
		return mismatch
	}
	if least, most, bounded := f.bounds(); bounded && (v < least || v > most) {
		return mismatch
	}
	dst.SetInt(v)
	return nil
}

var (
	octalMode = regexp.MustCompile(`^0[0-7]{3}$`)
	decimal   = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
)

// parseInt reads a decimal integer without sign, point or underscore.
func parseInt(s string) (int64, error) {
	if !decimal.MatchString(s) {
		return 0, errors.New("not a decimal integer")
	}
	return strconv.ParseInt(s, 10, 64)
}

// checkPrintable accepts one line of text. The value is not shown: it may be
// anything, and would print as it likes.
func checkPrintable(s string) error {
	for i, c := range s {
		switch {
		case c == '\n' || c == '\r':
			return errors.New("found text with a line break, want one line")
		case c == unicode.ReplacementChar || !unicode.IsPrint(c):
			return fmt.Errorf("found text with a character that cannot be printed (U+%04X at byte %d), want plain text", c, i)
		}
	}
	return nil
}

// checkExpression accepts lines of text with spaces and tabs.
func checkExpression(s string) error {
	return checkPrintable(strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return ' '
		}
		return c
	}, s))
}

// textOf returns the text of a node that is text to YAML.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// written returns what stands in the file for a node that is text or a number.
func written(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return textOf(n)
	}
}

func isInteger(n ast.Node) bool { _, ok := n.(*ast.IntegerNode); return ok }

func isBool(n ast.Node) bool { _, ok := n.(*ast.BoolNode); return ok }
