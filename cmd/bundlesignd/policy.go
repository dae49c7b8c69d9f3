package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/policy"
)

// newPolicyCommand returns the command with what is asked of policies. Neither
// needs a daemon or a key.
func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try out a policy",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPolicyTestCommand(), newPolicyExplainCommand())
	return cmd
}

// policySource is where a policy is read from.
type policySource struct{ config, policy string }

func (s *policySource) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.config, "config", "", "the configuration file that names the policy (default "+defaultConfig+")")
	cmd.Flags().StringVar(&s.policy, "policy", "", "the policy file itself; no configuration is read then")
}

// load reads the policy, and prints what is found on the way. Who could write
// the files is not asked: a checkout in CI is nobody's to protect, and nothing is
// signed here.
func (s *policySource) load(stderr io.Writer) (*policy.Policy, error) {
	opts := config.Options{Draft: true}
	switch {
	case s.config != "" && s.policy != "":
		return nil, &usageError{errors.New("found --config and --policy, want one of them")}
	case s.policy != "":
		p, warnings, err := config.LoadPolicy(s.policy, opts)
		return p, printFindings(stderr, s.policy, warnings, err, false)
	case s.config == "":
		s.config = defaultConfig
	}
	p, warnings, err := config.LoadPolicyOf(s.config, opts)
	return p, printFindings(stderr, s.config, warnings, err, false)
}
