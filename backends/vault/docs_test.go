package vault_test

import (
	"os"
	"strings"
	"testing"
)

// The policies in the documentation are the ones that the tests use.
func TestPoliciesAreInTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"policy.hcl", "policy-maker.hcl", "policy-log.hcl"} {
		policy, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(docs), "```hcl\n"+string(policy)+"```\n") {
			t.Errorf("docs/backends.md does not have %s word for word", name)
		}
	}
}
