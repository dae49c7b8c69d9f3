package idtoken_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/policy"
)

// The claims of the tokens of GitHub Actions and GitLab CI, in their shape and with
// made-up values: rules see all of them, exactly.
func TestTokensOfCIServices(t *testing.T) {
	for service, want := range map[string]policy.Token{
		"github": {
			Issuer: "github", Subject: "repo:acme/shop:environment:production", ID: "6c2fb2f6-3a3b-44a9-9dcb-1f0e2ab6a4f1",
			Expires: time.Unix(1795349100, 0).UTC(),
		},
		"gitlab": {
			Issuer: "gitlab", Subject: "project_path:acme/shop:ref_type:branch:ref:main", ID: "5f2f0f3e-8b3a-4c55-a1a4-2b7d0b9d7c11",
			Expires: time.Unix(1795352400, 0).UTC(),
		},
	} {
		t.Run(service, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", service+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &want.Claims); err != nil {
				t.Fatal(err)
			}
			url, _ := want.Claims["iss"].(string)
			// The issuer of the test serves the keys; its name is the service's.
			is := idtokentest.New(t)
			c := newClock()
			v := newVerifier(t, c, zaptest.NewLogger(t), idtoken.Issuer{
				Name: service, URL: url, Audience: idtokentest.Audience, JWKSFile: is.JWKSFile(t),
			})
			var payload bytes.Buffer
			if err := json.Compact(&payload, data); err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(t.Context(), is.Key().Sign(t, payload.Bytes(), nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Two different numbers must not become one.
func TestLargeNumbersStayExact(t *testing.T) {
	r := newRig(t)
	payload := bytes.Replace(mustJSON(t, r.claims(nil)), []byte("{"), []byte(`{"n":9007199254740993,"m":-1e400,"k":42,`), 1)
	got, err := r.v.Verify(t.Context(), r.Key().Sign(t, payload, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"n": "9007199254740993", "m": "-1e400", "k": 42.0} {
		if got.Claims[name] != want {
			t.Errorf("claim %s is %#v, want %#v", name, got.Claims[name], want)
		}
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
