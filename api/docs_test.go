package api_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
)

// Each example of docs/api.md is run as it stands, with curl.
func TestExamplesOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, api.Config{})
	id := r.submit(nil).signature(201).ID
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < len(api.Routes()) {
		t.Fatalf("found %d examples for %d routes", len(blocks), len(api.Routes()))
	}
	for _, b := range blocks {
		cmd := exec.Command("sh", "-euc", b[1])
		cmd.Env = append(os.Environ(), "SOCKET="+r.socket, "DIGEST="+digest, "ID="+id)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v (curl must be installed): %s", b[1], err, out)
		}
		if len(strings.TrimSpace(string(out))) == 0 {
			t.Errorf("%s\nprinted nothing", b[1])
		}
	}
}
