package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
)

// Each example of docs/api.md is run as it stands, with curl.
func TestExamplesOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, api.Config{})
	id := r.submit(nil).signature(201).ID
	pending := r.submit(func(s *wire.Submit) { s.Channel = "approved" }).signature(202)
	frozen := r.freeze(`{"app_id":"com.acme.bank","reason":"an example"}`)
	dir := t.TempDir()
	for name, sig := range map[string]string{
		"approval.sig":  r.alice.Sign(policy.ApprovalNamespace, pending.Statement),
		"rejection.sig": r.bob.Sign(policy.RejectionNamespace, pending.Statement),
		"thaw.sig":      r.alice.Sign(policy.ThawNamespace, frozen.Statement),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sig), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < len(api.Routes()) {
		t.Fatalf("found %d examples for %d routes", len(blocks), len(api.Routes()))
	}
	for _, b := range blocks {
		cmd := exec.Command("sh", "-euc", b[1])
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SOCKET="+r.socket, "DIGEST="+digest, "ID="+id, "PENDING="+pending.ID, "FREEZE="+frozen.ID)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v (curl must be installed): %s", b[1], err, out)
		}
		if len(strings.TrimSpace(string(out))) == 0 {
			t.Errorf("%s\nprinted nothing", b[1])
		}
	}
}
