package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// table lines up columns.
type table struct{ show.Table }

// custody adds what a key proved, and from what.
func (t *table) custody(c *wire.Custody) {
	if c == nil {
		t.Row("custody shown", "-")
		return
	}
	t.Row("custody shown", fmt.Sprintf("%s (%s)", c.Level, c.Backend))
	for _, name := range slices.Sorted(maps.Keys(c.Evidence)) {
		t.Row("  "+name, c.Evidence[name])
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeJSON prints one JSON document, for people too.
func writeJSON(w io.Writer, v any) error {
	data, err := indentJSON(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func indentJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
