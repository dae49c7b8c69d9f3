package vault_test

import (
	"fmt"
	"testing"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
	"github.com/bundlesign/bundlesign/capgo"
)

// BenchmarkSign shows signatures a second, one by one and in batches, one caller.
func BenchmarkSign(b *testing.B) {
	s := vaulttest.New(b)
	s.CreateKey(keyName)
	s.Policy(keyName)
	file, _ := s.Token(nil)
	u, err := vault.ParseURI(keyURI(s, "token-file", file))
	if err != nil {
		b.Fatal(err)
	}
	k := vault.Open(vault.Config{URI: u})
	defer k.Close()
	for _, n := range []int{1, 2, 100, 5000} {
		payloads := make([]capgo.Payload, n)
		for i := range payloads {
			payloads[i] = payload(b, fmt.Sprint(i))
		}
		b.Run(fmt.Sprintf("batch of %d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign(b.Context(), payloads); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "signatures/s")
		})
	}
}
