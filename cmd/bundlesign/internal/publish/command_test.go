package publish

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUploadCommand(t *testing.T) {
	found := UploadCommand("com.acme.shop", "production", "1.4.0", "https://cdn.acme.example/a.zip?x=1&y=2", "aXY=:a2V5", "1a2b")
	want := "npx @capgo/cli bundle upload com.acme.shop --external 'https://cdn.acme.example/a.zip?x=1&y=2' --iv-session-key 'aXY=:a2V5'" +
		" --encrypted-checksum 1a2b --bundle 1.4.0 --channel production"
	if found != want {
		t.Errorf("found\n%s\nwant\n%s", found, want)
	}
	if found, want := ChannelCommand("com.acme.shop", "beta testers", "1.4.0"), "npx @capgo/cli channel set 'beta testers' com.acme.shop --bundle 1.4.0"; found != want {
		t.Errorf("found %q, want %q", found, want)
	}
}

// A shell reads each value as it is, whatever a hostile repository has put there.
func TestUploadCommandInAShell(t *testing.T) {
	values := []string{
		"$(touch owned)", "`touch owned`", "a'b\"c", `\n`, "new\nline", "a;touch owned", "*", "~", "!x", "=ls", "&", "ä",
	}
	for _, v := range values {
		command := UploadCommand("com.acme.shop", v, "1.4.0", v, v, v)
		args := strings.TrimPrefix(command, "npx")
		dir := t.TempDir()
		sh := exec.Command("sh", "-c", `printf '%s\0'`+args)
		sh.Dir = dir
		out, err := sh.Output()
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		want := []string{
			"@capgo/cli", "bundle", "upload", "com.acme.shop", "--external", v, "--iv-session-key", v,
			"--encrypted-checksum", v, "--bundle", "1.4.0", "--channel", v,
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%q: %s", v, diff)
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"1.4.0", "0.0.1", "1.0.0-alpha.1", "1.0.0-0a.b-c+build.7", "10.20.30"} {
		if err := CheckVersion(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "1", "1.4", "v1.4.0", "V1.4.0", "1.4.0.0", "01.4.0", "1.0.0-01", "1.0.0-", "1.0.0+", "1.0.0\n", " 1.0.0", "builtin", "latest"} {
		if CheckVersion(bad) == nil {
			t.Errorf("the version %q was taken", bad)
		}
	}
	for _, bad := range []string{"", "shop", "com..shop", ".com", "com.a b", "-x.y", "com.acme.shop\n", "--apikey"} {
		if CheckApp(bad) == nil {
			t.Errorf("the app %q was taken", bad)
		}
	}
	for _, bad := range []string{"", " ", "a,b", "-x", "--apikey=1", " a", "a\nb", "a\x1b[2J"} {
		if CheckChannel(bad) == nil {
			t.Errorf("the channel %q was taken", bad)
		}
	}
	if err := CheckChannel("beta testers"); err != nil {
		t.Error(err)
	}
}
