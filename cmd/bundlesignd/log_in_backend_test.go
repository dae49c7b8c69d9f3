package main

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
)

// The log's key may be in a token: checkpoints verify with the pinned key, nothing
// is signed while the token is away, also at the first start of all, and the
// daemon heals.
func TestLogKeyInAToken(t *testing.T) {
	tk := softhsmtest.New(t)
	public := tk.GenerateEd25519("log")
	pin, err := note.NewEd25519VerifierKey("example.com/test", public)
	if err != nil {
		t.Fatal(err)
	}
	dir := initialized(t)
	edit(t, dir, "  key: log.key\n", "")
	edit(t, dir, `  uri: ""`, "  uri: '"+tk.URI("log")+"'")
	edit(t, dir, `  public_key: ""`, "  public_key: "+pin)

	show := tk.Hide()
	d := startDaemon(t, dir)
	d.says("nothing is signed yet")
	if _, err := submitOnce(t, d.client, 1); err == nil {
		t.Error("something was signed that the log cannot hold")
	}
	show()
	d.usable()
	first, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := d.client.Status(t.Context()); err != nil || st.LogKey != pin {
		t.Errorf("status %+v, %v, want log key %s", st, err, pin)
	}
	w := &witness{t: t, dir: dir, answers: map[string]*wire.Signature{}, entries: map[string]*audit.Leaf{}}
	w.remember(first)
	w.check(d, true)
	d.stop()

	// Another key is not taken for it.
	tk.GenerateEd25519("other")
	edit(t, dir, "object=log;", "object=other;")
	d = launch(t, dir)
	defer d.kill()
	d.ready()
	d.says("log.public_key does not verify")
}
