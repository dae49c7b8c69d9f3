package idtoken

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// parseObject reads one JSON object (RFC 8259; RFC 7493 where that is stricter)
// and nothing after it. Names that appear twice and text that is not UTF-8 are
// errors: two programs could read them differently.
func parseObject(data []byte) (map[string]any, error) {
	d := objectReader{dec: jsontext.NewDecoder(bytes.NewReader(data))}
	if d.dec.PeekKind() != '{' {
		return nil, errors.New("found no JSON object")
	}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("found more after the JSON object")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("found no JSON object")
	}
	return object, nil
}

// objectReader reads values within bounds of number and depth.
type objectReader struct {
	dec    *jsontext.Decoder
	values int
}

func (d *objectReader) value(depth int) (any, error) {
	if d.values++; d.values > maxValues {
		return nil, fmt.Errorf("found more than %d values", maxValues)
	}
	tok, err := d.dec.ReadToken()
	if err != nil {
		return nil, explainJSON(err)
	}
	switch tok.Kind() {
	case '{', '[':
		if depth++; depth > maxDepth {
			return nil, fmt.Errorf("found more than %d objects or lists within each other", maxDepth)
		}
		if tok.Kind() == '{' {
			return d.object(depth)
		}
		return d.list(depth)
	case '"':
		return tok.String(), nil
	case '0':
		return number(tok.String()), nil
	case 't', 'f':
		return tok.Bool(), nil
	}
	return nil, nil // JSON's null
}

func (d *objectReader) object(depth int) (any, error) {
	object := make(map[string]any)
	for d.dec.PeekKind() != '}' {
		name, err := d.dec.ReadToken()
		if err != nil {
			return nil, explainJSON(err)
		}
		key := name.String() // valid until the next token is read
		if object[key], err = d.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := d.dec.ReadToken()
	return object, err
}

func (d *objectReader) list(depth int) (any, error) {
	list := []any{}
	for d.dec.PeekKind() != ']' {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.dec.ReadToken()
	return list, err
}

// maxExact is the first integer whose successor is no float64, so that the two
// cannot be told apart.
const maxExact = 1 << 53

// number is a JSON number as a float64 if that can be told from every other
// number. A larger one, such as an id of 64 bits, is its digits as text: rounded,
// two different ids would be the same to a rule.
func number(digits string) any {
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f >= maxExact || f <= -maxExact {
		return digits
	}
	return f
}

// explainJSON says what is wrong without showing any of it.
func explainJSON(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("found a name twice, want each once")
	case errors.As(err, &syntactic):
		return fmt.Errorf("not JSON at byte %d", syntactic.ByteOffset)
	}
	return errors.New("not JSON: it ends too early")
}
