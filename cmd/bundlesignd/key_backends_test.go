package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
)

// home is a real backend in which an operator makes keys.
type home struct {
	// uri is what the operator types for a key of this name.
	uri func(name string) string
	// daemons is the URI with which the daemon uses a key, from the one that was
	// printed: its credentials are not the operator's.
	daemons func(t *testing.T, name, printed string) string
	env     []string // of commands and daemon
	created string   // custody of a key that it made
	secrets []string // that no output may have
}

func homes() map[string]func(*testing.T) *home {
	return map[string]func(*testing.T) *home{"token": tokenHome, "Vault": vaultHome, "Cloud KMS": kmsHome}
}

func tokenHome(t *testing.T) *home {
	tk := softhsmtest.New(t)
	return &home{
		uri:     tk.URI,
		daemons: func(_ *testing.T, _, printed string) string { return printed },
		created: "never-extractable",
		secrets: []string{softhsmtest.PIN, softhsmtest.SOPIN},
	}
}

func vaultHome(t *testing.T) *home {
	s := vaulttest.New(t)
	h := &home{created: "non-extractable", secrets: []string{s.Root.Token()}}
	h.uri = func(name string) string {
		s.PolicyFile("make-"+name, "policy-maker.hcl", name)
		file, token := s.Token(map[string]any{"policies": []string{"make-" + name}})
		h.secrets = append(h.secrets, token)
		return "hashivault://transit/" + name + "?address=" + s.Address + "&ca-file=" + s.CAFile + "&token-file=" + file
	}
	h.daemons = func(_ *testing.T, name, printed string) string {
		s.PolicyFile("use-"+name, "policy.hcl", name)
		file, token := s.Token(map[string]any{"policies": []string{"use-" + name}})
		h.secrets = append(h.secrets, token)
		return regexp.MustCompile(`token-file=[^&]*`).ReplaceAllLiteralString(printed, "token-file="+file)
	}
	return h
}

func kmsHome(t *testing.T) *home {
	s := kmstest.NewTLS(t, func(token string) bool { return token != "" })
	const ring = "projects/acme-prod/locations/europe-west3/keyRings/live"
	s.AddRing(ring)
	s.SetPolls(0)
	account := serviceAccount(t)
	query := "?endpoint=" + s.Addr() + "&credentials=" + account
	return &home{
		uri: func(name string) string { return "gcpkms://" + ring + "/cryptoKeys/" + name + query },
		daemons: func(_ *testing.T, _, printed string) string {
			version, _, _ := strings.Cut(printed, "?")
			return version + query
		},
		env:     []string{"SSL_CERT_FILE=" + s.CAFile()},
		created: "never-extractable",
	}
}

// serviceAccount is the key file of a service account, and a server that takes what
// is signed with it for a login.
func serviceAccount(t *testing.T) string {
	t.Helper()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"let-me-in","expires_in":3600,"token_type":"Bearer"}`)
	}))
	t.Cleanup(tokens.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme-prod", "private_key_id": "1", "client_id": "1",
		"client_email": "bundlesignd@acme-prod.iam.gserviceaccount.com", "token_uri": tokens.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve pastes what was printed, with the daemon's credentials, and starts the
// daemon with the key.
func (h *home) serve(t *testing.T, dir, name, printed string) *process {
	t.Helper()
	uri := printedURI(t, printed)
	paste(t, dir, strings.ReplaceAll(printed, uri, h.daemons(t, name, uri)))
	cmd := bundlesignd("serve", "--config", filepath.Join(dir, "config.yaml"))
	cmd.Env = append(cmd.Env, h.env...)
	d := launchCommand(t, dir, cmd)
	d.ready()
	d.usable()
	return d
}

func printedURI(t *testing.T, printed string) string {
	t.Helper()
	_, rest, found := strings.Cut(printed, "    uri: '")
	uri, _, quoted := strings.Cut(rest, "'")
	if !found || !quoted {
		t.Fatalf("found no URI in:\n%s", printed)
	}
	return uri
}

// discreet checks that no secret was printed.
func (h *home) discreet(t *testing.T, text string) {
	t.Helper()
	for _, s := range h.secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("a secret is in:\n%s", text)
		}
	}
}

// A key is made in a backend, pasted into the configuration, signs, is checked,
// attested, switched off and on.
func TestKeyLife(t *testing.T) {
	for name, open := range homes() {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			dir := initialized(t)
			o := operatorOf{t: t, dir: dir, env: h.env}
			out := filepath.Join(dir, "made.pub.pem")
			code, printed, said := o.key("create", h.uri("acme-made"), "--name", "acme-made", "--app", "com.acme.shop", "--out", out, "--yes")
			h.discreet(t, printed+said)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, printed, said)
			}
			if !strings.Contains(said, "acme-made") || !strings.Contains(said, ".\n* The transparency log says so") {
				t.Errorf("it does not say what it will do:\n%s", said)
			}
			public := publicKey(t, out)
			leaves := o.wantOperations("create begun acme-made", "create done acme-made")
			if leaves[1].KeyFingerprint != public.Fingerprint() || !strings.Contains(fmt.Sprint(leaves[1].Custody), h.created) {
				t.Errorf("the entry is %+v, want %s", leaves[1], h.created)
			}
			if !strings.Contains(printed, "custody: "+h.created) {
				t.Errorf("it does not demand %s in:\n%s", h.created, printed)
			}
			d := h.serve(t, dir, "acme-made", printed)
			if got := d.signs(public, 1); got.Custody.Level != h.created {
				t.Errorf("custody %+v, want %s", got.Custody, h.created)
			}
			if out := o.does("check", "--all", "--yes"); !strings.HasPrefix(out, "acme-made  ok  ") {
				t.Errorf("check printed %s", out)
			}
			evidence := filepath.Join(dir, "evidence")
			o.does("attest", "acme-made", "--out", evidence, "--yes")
			data, err := os.ReadFile(filepath.Join(evidence, "evidence.json"))
			if err != nil || !strings.Contains(string(data), public.Fingerprint()) {
				t.Errorf("evidence.json is %s, %v", data, err)
			}
			o.does("disable", "acme-made", "--yes", "--reason", "for a test")
			d.refuses("for a test")
			o.does("enable", "acme-made", "--yes", "--reason", "the test is over")
			d.signs(public, 2)
			d.logIsWhole()
			d.stop()
			h.discreet(t, d.log.String())
			o.wantOperations("create begun acme-made", "create done acme-made", "check begun acme-made", "check done acme-made",
				"attest begun acme-made", "attest done acme-made", "disable done acme-made", "enable done acme-made")
		})
	}
}

// The key that the official CLI made goes into a backend: apps that carry its public
// half go on working, since the signatures are the same to the byte.
func TestKeyImport(t *testing.T) {
	for name, open := range homes() {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			dir := initialized(t)
			from := filepath.Join(dir, ".capgo_key_v2")
			if out, err := exec.Command("openssl", "genrsa", "-traditional", "-out", from, "2048").CombinedOutput(); err != nil {
				t.Fatalf("openssl must be installed: %v: %s", err, out)
			}
			carried := filepath.Join(dir, ".capgo_key_v2.pub")
			if out, err := exec.Command("openssl", "rsa", "-in", from, "-RSAPublicKey_out", "-out", carried).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			before, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			// Today the daemon signs with the file.
			edit(t, dir, `uri: "file:acme-shop.key.pem"`, `uri: "file:`+from+`"`)
			edit(t, dir, "public_key: acme-shop.pub.pem", "public_key: "+carried)
			app := publicKey(t, carried)
			d := startDaemon(t, dir)
			first := d.signs(app, 1)

			// While it runs, the key is imported, through its socket for the log.
			o := operatorOf{t: t, dir: dir, env: h.env}
			out := filepath.Join(dir, "imported.pub.pem")
			code, printed, said := o.key("import", h.uri("acme-imported"), "--from", from, "--name", "acme-imported", "--app", "com.acme.shop", "--out", out, "--yes")
			h.discreet(t, printed+said)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, printed, said)
			}
			for line := range strings.Lines(string(before)) {
				if len(line) > 60 && strings.Contains(printed+said, strings.TrimSpace(line)) {
					t.Error("the private key is printed")
				}
			}
			for _, want := range []string{"shred -u " + from, "git", "copies on write", "non-extractable at best", "custody: non-extractable"} {
				if !strings.Contains(printed, want) {
					t.Errorf("found no %q in:\n%s", want, printed)
				}
			}
			if !strings.Contains(said, `It is the key that the configuration has as "acme-shop": apps that carry it go on working.`) {
				t.Errorf("it does not say that the app has it:\n%s", said)
			}
			if after, err := os.ReadFile(from); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed: %v", err)
			}
			if !publicKey(t, out).Equal(app) {
				t.Error("another public key than the one that apps carry")
			}
			d.stop()
			if err := os.Remove(from); err != nil {
				t.Fatal(err)
			}
			d = h.serve(t, dir, "acme-imported", printed)
			again := d.signs(app, 2)
			if again.Custody.Level != "non-extractable" || again.Custody.Backend == "file" || first.Custody.Level != "software" {
				t.Errorf("custody %+v, was %+v, want it to be non-extractable in the backend", again.Custody, first.Custody)
			}
			d.logIsWhole()
			d.stop()
			leaves := o.wantOperations("import begun acme-imported", "import done acme-imported")
			for _, l := range leaves {
				if l.KeyFingerprint != app.Fingerprint() || l.Requester.User == "" {
					t.Errorf("the entry is %+v", l)
				}
			}
		})
	}
}

// logIsWhole checks the log of a daemon that runs as "bundlesign log verify" does:
// with the real program.
func (d *process) logIsWhole() {
	d.t.Helper()
	exe := filepath.Join(d.t.TempDir(), "bundlesign")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", exe, "../bundlesign").CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	st, err := d.client.Status(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	if out, err := exec.Command(exe, "log", "verify", "--log-key", st.LogKey, "--socket", d.client.Socket()).CombinedOutput(); err != nil {
		d.t.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command(exe, "log", "--socket", d.client.Socket()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), string(audit.LeafKey)) {
		d.t.Errorf("%v: %s", err, out)
	}
}

// A token makes the key of a log, too; what is taken is refused before anything is
// begun.
func TestKeyOfALogInAToken(t *testing.T) {
	tk := softhsmtest.New(t)
	dir := initialized(t)
	o := operatorOf{t: t, dir: dir}
	o.fails(2, "which are for keys that sign for apps", "create", "--log", tk.URI("bundlesign-log"), "--name", "x", "--yes")
	printed := o.does("create", "--log", tk.URI("bundlesign-log"), "--yes", "--reason", "a log in the token")
	uri := regexp.MustCompile(`  uri: '(.*)'\n`).FindStringSubmatch(printed)
	verifier := regexp.MustCompile(`  public_key: '(example.com/test\+[0-9a-f]{8}\+.*)'\n`).FindStringSubmatch(printed)
	if uri == nil || verifier == nil {
		t.Fatalf("it printed\n%s", printed)
	}
	if again := o.does("public", "--log", uri[1]); again != printed {
		t.Errorf("public --log printed\n%s, want\n%s", again, printed)
	}
	leaves := o.wantOperations("create begun log", "create done log")
	if l := leaves[1]; !l.Operation.LogKey || !strings.HasPrefix(l.KeyFingerprint, "SHA256:") || l.Operation.URI != uri[1] {
		t.Errorf("the entry is %+v, %+v", l, l.Operation)
	}
	o.fails(1, "it cannot be done", "create", "--log", tk.URI("bundlesign-log"), "--yes")
	tk.GenerateKey("taken")
	o.fails(1, "it cannot be done", "create", tk.URI("taken"), "--name", "a", "--app", "com.acme.shop", "--yes")
	o.fails(2, "with its own tool only", "create", "--log", "file:"+filepath.Join(dir, "x"), "--yes")
	o.wantOperations("create begun log", "create done log")
}
