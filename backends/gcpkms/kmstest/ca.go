package kmstest

import (
	"encoding/pem"
	"os"
	"path/filepath"
)

// CAFile writes the certificate of a server that speaks TLS to a PEM file, for
// programs that are told by SSL_CERT_FILE whom to trust.
func (s *Server) CAFile() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "kms-ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Leaf.Raw})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}
