package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"
)

// lineWidth is how wide comments are written.
const lineWidth = 80

// render writes a struct of the configuration as the YAML that decodes to it.
// With comment, which gives the manual's text on a field by "Type.Field", each
// field is explained the first time that it appears, and a field that is left out
// is shown by its example.
func render(v any, comment func(string) string) []byte {
	w := renderer{comment: comment, explained: make(map[string]bool)}
	w.fields(reflect.ValueOf(v).Elem(), "")
	return []byte(w.b.String())
}

type renderer struct {
	b         strings.Builder
	comment   func(string) string
	explained map[string]bool
}

func (w *renderer) fields(v reflect.Value, indent string) {
	t := v.Type()
	defaults := defaultsOf(t)
	for _, f := range fieldsOf(t) {
		inner := v.Field(f.index)
		explain := w.explain(t.Name()+"."+f.goName, f, inner, defaults.Field(f.index), indent)
		switch {
		case isList(inner) && inner.Len() == 0 && f.required:
			fmt.Fprintf(&w.b, "%s%s: []\n", indent, f.name)
		case isList(inner) && inner.Len() == 0, f.example != "" && inner.IsZero():
			if explain && f.example != "" {
				w.example(f, indent)
			}
		case inner.Kind() == reflect.Struct:
			fmt.Fprintf(&w.b, "%s%s:\n", indent, f.name)
			w.fields(inner, indent+"  ")
		case isList(inner) && inner.Type().Elem().Kind() == reflect.Struct:
			fmt.Fprintf(&w.b, "%s%s:\n", indent, f.name)
			for i := range inner.Len() {
				w.item(inner.Index(i), indent+"  ")
			}
		case inner.Kind() == reflect.Map:
			w.named(f, inner, indent)
		default:
			fmt.Fprintf(&w.b, "%s%s: %s\n", indent, f.name, scalar(inner))
		}
	}
}

// named writes a map, in the order of its names.
func (w *renderer) named(f field, v reflect.Value, indent string) {
	fmt.Fprintf(&w.b, "%s%s:\n", indent, f.name)
	names := make([]string, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		names = append(names, it.Key().String())
	}
	slices.Sort(names)
	for _, name := range names {
		switch thing := v.MapIndex(reflect.ValueOf(name)); {
		case thing.Kind() != reflect.Struct:
			fmt.Fprintf(&w.b, "%s  %s: %s\n", indent, yamlText(name), scalar(thing))
		case thing.IsZero():
			fmt.Fprintf(&w.b, "%s  %s: {}\n", indent, yamlText(name))
		default:
			fmt.Fprintf(&w.b, "%s  %s:\n", indent, yamlText(name))
			w.fields(thing, indent+"    ")
		}
	}
}

// example writes a field that is left out as a comment.
func (w *renderer) example(f field, indent string) {
	first, more, _ := strings.Cut(f.example, "\n")
	fmt.Fprintf(&w.b, "%s# %s\n", indent, strings.TrimSpace(f.name+": "+first))
	if more != "" {
		for line := range strings.SplitSeq(more, "\n") {
			fmt.Fprintf(&w.b, "%s# %s\n", indent, line)
		}
	}
}

// item writes one entry of a list of structs: a dash stands before its first field.
func (w *renderer) item(v reflect.Value, indent string) {
	whole := w.b.String()
	w.b.Reset()
	w.fields(v, indent+"  ")
	lines := strings.SplitAfter(w.b.String(), "\n")
	for i, line := range lines {
		if text := strings.TrimLeft(line, " "); text != "\n" && !strings.HasPrefix(text, "#") {
			lines[i] = indent + "- " + text
			break
		}
	}
	w.b.Reset()
	w.b.WriteString(whole + strings.Join(lines, ""))
}

// explain writes the manual's text on a field before it, once.
func (w *renderer) explain(name string, f field, v, defaultValue reflect.Value, indent string) bool {
	if w.comment == nil || w.explained[name] {
		return false
	}
	w.explained[name] = true
	if w.b.Len() > 0 && !strings.HasSuffix(w.b.String(), ":\n") {
		w.b.WriteString("\n")
	}
	w.b.WriteString(commentLines(w.comment(name), indent))
	if !isSection(v.Type()) {
		w.b.WriteString(commentLines("("+facts(f, v.Type(), defaultValue)+")", indent))
	}
	return true
}

// commentLines breaks paragraphs into lines of YAML comment.
func commentLines(text, indent string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(indent + "#\n")
		}
		line := indent + "#"
		for word := range strings.FieldsSeq(paragraph) {
			if len(line)+1+len(word) > lineWidth {
				b.WriteString(line + "\n")
				line = indent + "#"
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// facts says of a field what its comment leaves to the tags and defaults:
// "integer from 1 to 1024; default 8".
func facts(f field, t reflect.Type, defaultValue reflect.Value) string {
	kind := strings.TrimPrefix(strings.TrimPrefix(describeType(f, t), "an "), "a ")
	if isSection(t) {
		kind = "section"
		if t.Kind() == reflect.Slice {
			kind = "list of sections, " + f.rangeText()
		}
		if !f.required {
			return kind + "; optional"
		}
	}
	switch {
	case f.required:
		return kind + "; required"
	case isList(defaultValue) || defaultValue.Kind() == reflect.Map || f.example != "":
		return kind + "; optional"
	}
	return kind + "; default " + scalar(defaultValue)
}

// defaultsOf returns the defaults of a struct of the configuration.
func defaultsOf(t reflect.Type) reflect.Value {
	if t == reflect.TypeFor[Key]() || t == reflect.TypeFor[CaseRequester]() {
		return newElement(t)
	}
	if found := within(reflect.ValueOf(Default()).Elem(), t); found.IsValid() {
		return found
	}
	return reflect.Zero(t)
}

// within finds the struct of type t in v.
func within(v reflect.Value, t reflect.Type) reflect.Value {
	if v.Type() == t {
		return v
	}
	if v.Kind() == reflect.Struct {
		for _, f := range fieldsOf(v.Type()) {
			if found := within(v.Field(f.index), t); found.IsValid() {
				return found
			}
		}
	}
	return reflect.Value{}
}

// isSection reports whether a field holds fields, or a list of such.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func isList(v reflect.Value) bool { return v.Kind() == reflect.Slice }

// scalar writes a value, or a list of texts, in one line of YAML.
func scalar(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		s := value.String() // 15m0s
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	case os.FileMode:
		return fmt.Sprintf(`"%04o"`, uint32(value))
	case zapcore.Level:
		return value.String()
	case ByteSize:
		return value.String()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Slice:
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = yamlText(v.Index(i).String())
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return yamlText(v.String())
}

var (
	// plainText needs no quotes in YAML, wherever it stands.
	plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@-]*$`)
	// otherMeaning is plain text that is, to some YAML parsers, something else.
	otherMeaning = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null)$`)
)

// yamlText writes a text as it must stand in YAML, with the escapes of section
// 5.7 of YAML 1.2 for what cannot stand in it.
func yamlText(s string) string {
	if plainText.MatchString(s) && !otherMeaning.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case !unicode.IsPrint(c):
			fmt.Fprintf(&b, `\U%08x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
