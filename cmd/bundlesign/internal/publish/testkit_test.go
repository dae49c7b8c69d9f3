package publish

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish/publishtest"
)

const testKey = "c591b04e-cf29-4945-b9a0-776d0672061a"

// aSessionKey has the form of one, which is all that publishing looks at.
func aSessionKey(fill byte) string {
	iv := strings.Repeat(string(fill), 16)
	return base64.StdEncoding.EncodeToString([]byte(iv)) + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(fill), 256)))
}

var aChecksum = strings.Repeat("1a", 256)

func aRegistration() *Registration {
	return &Registration{
		App: "com.acme.shop", Version: "1.4.0", URL: "https://cdn.acme.example/shop/1.4.0.zip",
		Checksum: aChecksum, SessionKey: aSessionKey('k'), KeyID: "MIIBCgKCAQEAqJikYizo",
	}
}

// newFake starts the stand-in and an API to it that does not really wait.
func newFake(t *testing.T, faults publishtest.Faults) (*publishtest.FakeAPI, *API, *[]time.Duration) {
	t.Helper()
	fake := publishtest.NewFakeAPI(testKey)
	t.Cleanup(fake.Close)
	fake.SetFaults(faults)
	api, err := NewAPI(fake.URL, testKey, "test")
	if err != nil {
		t.Fatal(err)
	}
	waited := new([]time.Duration)
	api.pause = func(ctx context.Context, d time.Duration) error {
		*waited = append(*waited, d)
		return ctx.Err()
	}
	return fake, api, waited
}
