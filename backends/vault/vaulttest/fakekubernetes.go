package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"
)

// FakeKubernetes enables the Kubernetes method with a role "bundlesignd" in Vault,
// which is real, and stands in for the cluster that Vault asks whether a service
// account's token is good. It returns the path of such a token, which is behind
// symbolic links and readable by all, as the kubelet writes it.
func (s *Server) FakeKubernetes() (tokenFile string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	token := s.sign(key, map[string]any{
		"iss": "kubernetes", "sub": "system:serviceaccount:signing:bundlesignd",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nbf": time.Now().Unix(),
		"kubernetes.io": map[string]any{
			"namespace": "signing", "serviceaccount": map[string]any{"name": "bundlesignd", "uid": "1"},
		},
	})
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct {
				Token string `json:"token"`
			} `json:"spec"`
		}
		good := r.URL.Path == "/apis/authentication.k8s.io/v1/tokenreviews" &&
			json.NewDecoder(r.Body).Decode(&review) == nil && review.Spec.Token == token
		status := map[string]any{"authenticated": good}
		if good {
			status["user"] = map[string]any{"username": "system:serviceaccount:signing:bundlesignd", "uid": "1"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status,
		})
	}))
	s.t.Cleanup(cluster.Close)
	s.enable("kubernetes")
	s.Write("auth/kubernetes/config", map[string]any{
		"kubernetes_host": cluster.URL, "disable_local_ca_jwt": true,
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})),
		"token_reviewer_jwt": token,
	})
	s.Write("auth/kubernetes/role/bundlesignd", map[string]any{
		"bound_service_account_names": "bundlesignd", "bound_service_account_namespaces": "signing",
		"token_policies": []string{PolicyName},
	})
	dir := s.t.TempDir()
	s.must(os.Mkdir(filepath.Join(dir, "..2026_01_01"), 0o755))
	s.must(os.WriteFile(filepath.Join(dir, "..2026_01_01", "token"), []byte(token), 0o644))
	s.must(os.Symlink("..2026_01_01", filepath.Join(dir, "..data")))
	s.must(os.Symlink("..data/token", filepath.Join(dir, "token")))
	return filepath.Join(dir, "token")
}
