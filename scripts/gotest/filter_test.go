package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		name    string
		in      []string
		out     string
		skipped []string
	}{
		{
			"a package that passes",
			[]string{
				`{"Action":"start","Package":"p"}`,
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: hello\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"PASS\n"}`,
				`{"Action":"output","Package":"p","Output":"ok  \tp\t0.002s\n"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			"ok  \tp\t0.002s\n", nil,
		},
		{
			"a failing subtest shows the whole test",
			[]string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:1: wrong\n"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"fine\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestB"}`,
				`{"Action":"fail","Package":"p","Test":"TestA/x"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\tp\t0.002s\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			"    a_test.go:1: wrong\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.002s\n", nil,
		},
		{
			"a skipped subtest is named, with its reason",
			[]string{
				`{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:1: no token\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestA/x"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
			},
			"    a_test.go:1: no token\n",
			[]string{"p.TestA/x"},
		},
		{
			"a package without tests is no skipped test",
			[]string{
				`{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}`,
				`{"Action":"skip","Package":"p"}`,
			},
			"?   \tp\t[no test files]\n", nil,
		},
		{
			"a panic shows what ran",
			[]string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: x\n"}`,
				`{"Action":"output","Package":"q","Test":"TestA","Output":"of another package\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			"panic: x\n", nil,
		},
		{
			"errors of the compiler, and text that is no event",
			[]string{
				`{"ImportPath":"p","Action":"build-output","Output":"p/a.go:1: syntax error\n"}`,
				`go: something`,
			},
			"p/a.go:1: syntax error\ngo: something\n", nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			skipped, err := filter(strings.NewReader(strings.Join(test.in, "\n")+"\n"), &out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.out, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}
