package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/cmd/internal/show"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
)

func newPolicyTestCommand() *cobra.Command {
	var source policySource
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "Hold a policy against cases of your own",
		Long: `Read all files below DIR that end in .yaml, ask the policy about each case in
them, and print one line for each; where the policy says something else than the
case expects, the difference. docs/policy.md has examples, and
docs/configuration.md every field.

This needs no daemon and no keys, so that CI can run it before a policy is put in
force. It exits with 0 if every case is as expected, with 1 if not, and with 2 if
the policy or a case cannot be read.`,
		Example: `  bundlesignd policy test --policy policy.yaml cases/`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := source.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			cases, err := config.LoadCases(args[0])
			if err := printFindings(cmd.ErrOrStderr(), args[0], nil, err, false); err != nil {
				return err
			}
			return testPolicy(cmd.OutOrStdout(), p, cases)
		},
	}
	source.flags(cmd)
	return cmd
}

// testPolicy prints a line for each case, and returns an error if one is not as
// expected.
func testPolicy(w io.Writer, p *policy.Policy, cases []config.Case) error {
	failed := 0
	for i := range cases {
		c := &cases[i]
		v, err := judge(p, c.PolicyRequest(), c.ApprovedBy, c.Signed.Recent)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", c.File, c.Line, err)
		}
		result, differences := "ok  ", differences(c, v)
		if len(differences) > 0 {
			result = "FAIL"
			failed++
			differences = append(differences, "it said: "+v.Reason)
		}
		if _, err := fmt.Fprintf(w, "%s %s:%d: %s\n", result, show.Printable(c.File), c.Line, show.Printable(c.Name)); err != nil {
			return err
		}
		for _, d := range differences {
			if _, err := fmt.Fprintf(w, "       %s\n", show.Printable(d)); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return errors.New(count(len(cases), "case") + ", " + fmt.Sprintf("%d not as expected", failed))
	}
	_, err := fmt.Fprintf(w, "%s, all as expected\n", count(len(cases), "case"))
	return err
}

// differences says what of a verdict a case does not expect.
func differences(c *config.Case, v verdict) []string {
	var list []string
	differ := func(what, want, found string) {
		list = append(list, fmt.Sprintf("%s: want %s, found %s", what, want, found))
	}
	e := &c.Expect
	if e.Effect != v.Effect {
		differ("effect", string(e.Effect), string(v.Effect))
	}
	if e.Rule != "" && e.Rule != v.Rule {
		found := "no rule that matches"
		if v.Rule != "" {
			found = fmt.Sprintf("%q", v.Rule)
		}
		differ("rule", fmt.Sprintf("%q", e.Rule), found)
	}
	if e.Reason != "" && !strings.Contains(v.Reason, e.Reason) {
		differ("reason", fmt.Sprintf("one with %q in it", e.Reason), fmt.Sprintf("%q", v.Reason))
	}
	if e.Effect == policy.Approve && v.Effect == policy.Approve && (len(e.Missing) > 0 || len(c.ApprovedBy) > 0) {
		var want, found []string
		for _, m := range e.Missing {
			want = append(want, missingText(m.From, m.Count))
		}
		for _, m := range v.Missing {
			found = append(found, missingText(m.From, m.Count))
		}
		slices.Sort(want)
		slices.Sort(found)
		if !slices.Equal(want, found) {
			differ("missing", orNobody(want), orNobody(found))
		}
	}
	return list
}

// missingText is how many more of which groups must agree.
func missingText(from []string, n int) string {
	return fmt.Sprintf("%d of %s", n, strings.Join(slices.Sorted(slices.Values(from)), " or "))
}

func orNobody(list []string) string {
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, " and ")
}
