package api

import (
	"strings"
	"testing"
)

func TestUnitOf(t *testing.T) {
	for name, c := range map[string]struct{ cgroup, want string }{
		"a service":                     {"0::/system.slice/actions-runner.service\n", "actions-runner.service"},
		"an instance":                   {`0::/system.slice/system-runner.slice/runner@a\x2db.service` + "\n", `runner@a\x2db.service`},
		"a service in slices":           {"0::/ci.slice/ci-acme.slice/runner.service\n", "runner.service"},
		"a transient one":               {"0::/system.slice/run-u12.service\n", "run-u12.service"},
		"a container's scope":           {"0::/system.slice/docker-0123456789abcdef.scope\n", "docker-0123456789abcdef.scope"},
		"PID 1":                         {"0::/init.scope\n", "init.scope"},
		"a login":                       {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"},
		"a user's manager":              {"0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "user@1000.service"},
		"a user's own service":          {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/actions-runner.service\n", "user@1000.service"},
		"a user's own cgroups":          {"0::/user.slice/user-1000.slice/user@1000.service/system.slice/actions-runner.service\n", "user@1000.service"},
		"delegated":                     {"0::/system.slice/runner.service/jobs/42\n", "runner.service"},
		"delegated, named as a service": {"0::/system.slice/containerd.service/evil/system.slice/actions-runner.service\n", "containerd.service"},
		"a container's own systemd":     {"0::/machine.slice/systemd-nspawn@x.service/payload/system.slice/actions-runner.service\n", "systemd-nspawn@x.service"},
		"a container that no unit is":   {"0::/lxc.payload.x/system.slice/actions-runner.service\n", ""},
		"docker without systemd":        {"0::/docker/0123456789abcdef\n", ""},
		"docker pretends":               {"0::/docker/system.slice/actions-runner.service\n", ""},
		"outside of our namespace":      {"0::/../../system.slice/actions-runner.service\n", ""},
		"only slices":                   {"0::/system.slice\n", ""},
		"no systemd":                    {"0::/\n", ""},
		"escaped by systemd":            {"0::/system.slice/_cgroup.service\n", "cgroup.service"},
		"twice escaped":                 {"0::/system.slice/__private.service\n", "_private.service"},
		"an escaped slice":              {"0::/_x.slice/a.service\n", "a.service"},
		"another kind of unit":          {"0::/system.slice/ssh.socket\n", ""},
		"a template":                    {"0::/system.slice/runner@.service\n", ""},
		"only a suffix":                 {"0::/system.slice/.service\n", ""},
		"an instance of nothing":        {"0::/system.slice/@x.service\n", ""},
		"a cgroup that was removed":     {"0::/system.slice/runner.service (deleted)\n", ""},
		"strange characters":            {"0::/system.slice/r\u00fcnner.service\n", ""},
		"a name that is too long":       {"0::/system.slice/" + strings.Repeat("a", 250) + ".service\n", ""},
		"a colon in the name":           {"0::/system.slice/a:b.service\n", "a:b.service"},
		"not from the root":             {"0::system.slice/runner.service\n", ""},
		"v1":                            {"4:memory:/x/y.service\n1:name=systemd:/system.slice/runner.service\n", "runner.service"},
		"v1 with v2 mounted, unused":    {"1:name=systemd:/system.slice/runner.service\n0::/\n", "runner.service"},
		"both: v2 counts":               {"1:name=systemd:/system.slice/other.service\n0::/system.slice/runner.service\n", "runner.service"},
		"v1 controllers only":           {"4:memory:/system.slice/runner.service\n", ""},
		"nothing":                       {"", ""},
	} {
		if got, err := unitOf([]byte(c.cgroup)); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
	if got, err := unitOf([]byte("0::/system.slice/runner.service\ngarbage\n")); err == nil {
		t.Errorf("garbage is unit %q, want an error", got)
	}
}

// Whatever stands in the file: a unit is one name, of a kind that systemd gives.
func FuzzUnitOf(f *testing.F) {
	f.Add([]byte("0::/system.slice/actions-runner.service\n"))
	f.Add([]byte("12:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/\n"))
	f.Fuzz(func(t *testing.T, cgroup []byte) {
		unit, err := unitOf(cgroup)
		if unit == "" {
			return
		}
		if err != nil || strings.ContainsAny(unit, "/ \n") || !strings.HasSuffix(unit, ".service") && !strings.HasSuffix(unit, ".scope") {
			t.Errorf("unit %q, %v", unit, err)
		}
	})
}
