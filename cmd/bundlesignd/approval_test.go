package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

// A request survives kill -9 with the approvals that it has, and is signed when the
// last one comes. A reload voids what was agreed to under the old policy.
func TestApprovalsSurviveKillAndReloadVoidsThem(t *testing.T) {
	anna, ben, cleo := policytest.NewPerson(t, "anna", policytest.Ed25519), policytest.NewPerson(t, "ben", policytest.ECDSA256), policytest.NewPerson(t, "cleo", policytest.RSA)
	dir := initialized(t)
	people := func(who ...*policytest.Person) {
		t.Helper()
		var names []string
		for _, p := range who {
			names = append(names, p.Name)
		}
		text := fmt.Sprintf(`rules:
  - name: production
    apps: [com.acme.shop]
    effect: approve
    approvals: [{from: [release], threshold: 2}]
people:
  allowed_signers: allowed_signers
  groups: {release: [%[1]s]}
  accounts: {%[2]s: {}}
`, strings.Join(names, ", "), strings.Join(names, ": {}, "))
		for name, content := range map[string][]byte{"policy.yaml": []byte(text), "allowed_signers": policytest.AllowedSigners(who...)} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	people(anna, ben)
	d := startDaemon(t, dir)
	agree := func(id string, p *policytest.Person) *wire.Signature {
		t.Helper()
		sig, err := d.client.Signature(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if sig, err = d.client.Approve(t.Context(), id, p.Sign(policy.ApprovalNamespace, sig.Statement)); err != nil {
			t.Fatalf("%s approves: %v\n%s", p.Name, err, d.log)
		}
		return sig
	}
	submit := func(release int) *wire.Signature {
		t.Helper()
		sig, err := d.client.Submit(t.Context(), bundle(release), "")
		if err != nil {
			t.Fatal(err)
		}
		if sig.State != "pending" {
			t.Fatalf("it is %s, want pending", sig.State)
		}
		return sig
	}
	first := submit(1)
	agree(first.ID, anna)
	d.kill()
	d = startDaemon(t, dir)
	d.usable()
	if again := submit(1); again.ID != first.ID || len(again.Approvals) != 1 {
		t.Fatalf("after kill -9: request %s with %d approvals, want %s with 1", again.ID, len(again.Approvals), first.ID)
	}
	agree(first.ID, ben)
	done, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	if err != nil || done.ID != first.ID || done.State != "signed" {
		t.Fatalf("after the last approval: %+v, %v", done, err)
	}

	second := submit(2)
	agree(second.ID, anna)
	people(anna, cleo) // Ben has left
	if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	var now *wire.Signature
	for deadline := time.Now().Add(time.Minute); now == nil || now.PolicyHash == second.PolicyHash; time.Sleep(time.Millisecond) {
		if now, err = d.client.Signature(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the policy was not reloaded:\n%s", d.log)
		}
	}
	if len(now.Approvals) != 0 || !strings.Contains(now.Note, "do not count any more") {
		t.Errorf("after the reload: %d approvals, note %q; want none and to be told", len(now.Approvals), now.Note)
	}
	if _, err := d.client.Approve(t.Context(), second.ID, ben.Sign(policy.ApprovalNamespace, now.Statement)); err == nil {
		t.Error("one who was removed could approve")
	}
	agree(second.ID, anna)
	agree(second.ID, cleo)
	if done, err := d.client.SubmitAndWait(t.Context(), bundle(2), ""); err != nil || done.State != "signed" {
		t.Errorf("with new approvals: %+v, %v", done, err)
	}
}
