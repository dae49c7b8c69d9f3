package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go test -json`, see `go doc test2json` and `go help buildjson`.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string
}

// topLevel is the test that a subtest belongs to, with its package.
func (e event) topLevel() string {
	name, _, _ := strings.Cut(e.Test, "/")
	return e.Package + "." + name
}

// filter reads the events of a run from r, writes to w what `go test` without
// -json would have written, and returns the names of the tests that were skipped.
func filter(r io.Reader, w io.Writer) (skipped []string, err error) {
	held := make(map[string]*bytes.Buffer) // the output of tests that still run
	release := func(test string) {
		if b := held[test]; b != nil {
			_, _ = b.WriteTo(w)
		}
		delete(held, test)
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return skipped, nil
		}
		if err != nil {
			return skipped, fmt.Errorf("reading the output of go test: %w", err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			_, _ = w.Write(line) // not of test2json: something that went wrong
			continue
		}
		isTest := e.Test != ""
		switch {
		case e.Action == "build-output", e.Action == "output" && !isTest && e.Output != "PASS\n":
			_, _ = io.WriteString(w, e.Output)
		case e.Action == "output" && isTest:
			if strings.HasPrefix(e.Output, "=== ") {
				break // RUN, PAUSE, CONT, NAME: of interest to -v only
			}
			b := held[e.topLevel()]
			if b == nil {
				b = new(bytes.Buffer)
				held[e.topLevel()] = b
			}
			b.WriteString(e.Output)
		case e.Action == "skip" && isTest:
			skipped = append(skipped, e.Package+"."+e.Test)
			release(e.topLevel())
		case e.Action == "fail" && isTest:
			if !strings.Contains(e.Test, "/") {
				release(e.topLevel())
			}
		case e.Action == "pass" && isTest:
			if !strings.Contains(e.Test, "/") {
				delete(held, e.topLevel())
			}
		case e.Action == "fail": // a package; after a panic its tests have no end of their own
			for test := range held {
				if strings.HasPrefix(test, e.Package+".") {
					release(test)
				}
			}
		}
	}
}
