package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bundlesign/bundlesign/signer"
)

// fakeVault answers what a real Vault of the free edition never does, or not at will.
// Its token is good, unless answer says otherwise.
func fakeVault(t *testing.T, answer http.HandlerFunc) (uri, token string) {
	t.Helper()
	server := httptest.NewServer(fakeHandler(answer))
	t.Cleanup(server.Close)
	token = "hvs.CAESIOfTheFake"
	file := t.TempDir() + "/token"
	replace(t, file, token)
	return "hashivault://transit/" + keyName + "?version=1&address=" + server.URL + "&token-file=" + file, token
}

func fakeHandler(answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/auth/token/lookup-self" {
			fmt.Fprint(w, `{"data":{"ttl":0,"renewable":false}}`)
			return
		}
		answer(w, r)
	})
}

func TestFakeAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		kind   error
		says   []string
	}{
		{"sealed", 503, `{"errors":["Vault is sealed"]}`, signer.ErrUnavailable, []string{"sealed", "vault says: Vault is sealed"}},
		{"standby without an active node", 500, `{"errors":["local node not active but active cluster node not found"]}`, signer.ErrUnavailable, []string{"500", "active cluster node not found"}},
		{"rate limit", 429, `{"errors":["request path \"transit/sign\": rate limit quota exceeded"]}`, signer.ErrUnavailable, []string{"rate limit"}},
		{"disaster recovery secondary", 472, `{"errors":[]}`, signer.ErrUnavailable, []string{"standby", "load balancer"}},
		{"performance standby", 473, `{"errors":[]}`, signer.ErrUnavailable, []string{"standby", "load balancer"}},
		{"behind", 412, `{"errors":["required index state not present"]}`, signer.ErrUnavailable, []string{"behind"}},
		{"a proxy's page", 502, `<html>bad gateway</html>`, signer.ErrUnavailable, []string{"502"}},
		{"not Vault", 200, `<html>hello</html>`, signer.ErrUnavailable, []string{"not Vault's JSON"}},
		{"nothing", 404, `{"errors":[]}`, signer.ErrKeyUnusable, nil},
		{"not allowed", 403, `{"errors":["permission denied"]}`, signer.ErrKeyUnusable, []string{"its policies do not allow it"}},
		{"says the token", 500, `{"errors":["cannot use hvs.CAESIOfTheFake"]}`, signer.ErrUnavailable, []string{"cannot use [secret]"}},
		{"says much", 500, `{"errors":["` + strings.Repeat("x", 5000) + `\u001b[2J\n"]}`, signer.ErrUnavailable, []string{"xxx..."}},
		{"redirect", 307, `{"errors":[]}`, signer.ErrUnavailable, []string{"redirect", "standby"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			uri, token := fakeVault(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "http://127.0.0.2:1"+r.URL.Path)
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			k := open(t, uri)
			k.FakeWait()
			refused(t, k, test.kind, test.says...)
			_, err := k.Inspect(t.Context())
			if err == nil || strings.Contains(err.Error(), token) || len(err.Error()) > 700 {
				t.Errorf("error %v, want one that is short and does not hold the token", err)
			}
		})
	}
}

// Whoever a standby points to does not get the token.
func TestFakeRedirect(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		uri, _ := fakeVault(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		refused(t, open(t, uri), signer.ErrUnavailable, "redirect")
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A signature of another version, or none, is not passed on.
func TestFakeSignatures(t *testing.T) {
	for name, test := range map[string]struct{ one, batch, says string }{
		"another version": {`{"signature":"vault:v2:AAAA"}`, `{"batch_results":[{"signature":"vault:v2:AAAA"},{"signature":"vault:v2:AAAA"}]}`, `begins "vault:v2:"`},
		"short":           {`{"signature":"vault:v1:AAAA"}`, `{"batch_results":[{"signature":"vault:v1:AAAA"},{"signature":"vault:v1:AAAA"}]}`, "3 bytes"},
		"not base64":      {`{"signature":"vault:v1:?"}`, `{"batch_results":[{"signature":"vault:v1:?"},{}]}`, "not base64"},
		"none":            {`{}`, `{"batch_results":[{},{}]}`, `begins ""`},
	} {
		t.Run(name, func(t *testing.T) {
			uri, _ := fakeVault(t, func(w http.ResponseWriter, r *http.Request) {
				var body map[string]any
				_ = json.NewDecoder(r.Body).Decode(&body)
				switch {
				case !strings.Contains(r.URL.Path, "/sign/"):
					w.WriteHeader(http.StatusServiceUnavailable)
				case body["batch_input"] != nil:
					fmt.Fprintf(w, `{"data":%s}`, test.batch)
				default:
					fmt.Fprintf(w, `{"data":%s}`, test.one)
				}
			})
			k := open(t, uri)
			err := sign(t, k, nil)
			fails(t, err, signer.ErrUnavailable, test.says)
		})
	}
}

// Namespaces are of Vault Enterprise: what can be shown here is that they are named.
func TestFakeNamespace(t *testing.T) {
	var wrong atomic.Int32
	uri, _ := fakeVault(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Namespace") != "team/web" || r.Header.Get("X-Vault-Request") != "true" {
			wrong.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	k := open(t, uri+"&namespace=team/web")
	refused(t, k, signer.ErrUnavailable, "sealed")
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d requests without the namespace", n)
	}
}

// One request for each call: nobody waits for retries inside a library.
func TestFakeNoRetries(t *testing.T) {
	var requests atomic.Int32
	uri, _ := fakeVault(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	k := open(t, uri)
	_, err := k.Inspect(t.Context())
	fails(t, err, signer.ErrUnavailable)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}
