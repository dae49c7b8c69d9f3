package bundlesign_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bundlesign/bundlesign/"

// Who knows whom. The pure packages know nobody above them; the core stands on
// them and knows no backend, no store and no API; nothing but the commands knows
// the API's server. A package that is not listed may import everything but the
// commands and the server.
func TestWhoKnowsWhom(t *testing.T) {
	mayImport := map[string][]string{
		"capgo":         {},
		"policy":        {},
		"audit":         {"policy"},
		"signer":        {"capgo", "policy", "audit"},
		"store":         {"signer", "capgo", "policy", "audit"},
		"api/wire":      {},
		"api/idtoken":   {"policy"},
		"api":           {"api/wire", "api/idtoken", "signer", "capgo", "policy", "audit"},
		"client":        {"api/wire", "capgo", "audit", "policy"},
		"client/sshsig": {},
		"config":        {"config/strictyaml", "signer", "capgo", "policy", "audit"},
	}
	for _, p := range goList(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			dep, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			allowed, listed := mayImport[name]
			switch {
			case strings.HasPrefix(dep, "cmd/") && !strings.HasPrefix(name, "cmd/"):
				t.Errorf("%s imports the command %s", name, dep)
			case dep == "api" && !strings.HasPrefix(name, "cmd/"):
				t.Errorf("%s imports the API's server", name)
			case listed && !slices.Contains(allowed, dep):
				t.Errorf("%s imports %s, want at most %v", name, dep, allowed)
			case name == "backends/backendtest" && (dep == "store" || dep == "audit/audittest"):
				// It judges keys in the hands of the whole core.
			case strings.HasPrefix(name, "backends") && !strings.HasPrefix(dep, "backends") && !slices.Contains([]string{"signer", "capgo", "policy", "audit"}, dep):
				t.Errorf("%s imports %s", name, dep)
			}
		}
		if name == "capgo" || name == "policy" || name == "audit" {
			for _, imported := range p.Imports {
				if slices.Contains([]string{"os", "net", "net/http", "database/sql", "os/exec", "syscall"}, imported) {
					t.Errorf("%s is to be pure and imports %s", name, imported)
				}
			}
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func goList(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 15 {
		t.Fatalf("found %d packages", len(all))
	}
	return all
}
