package uri_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
)

const module = "?module-path=/usr/lib/m.so"

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want uri.URI
	}{
		{
			"pkcs11:object=acme" + module,
			uri.URI{Object: "acme", ModulePath: "/usr/lib/m.so"},
		},
		{
			"pkcs11:token=My%20Token;serial=0123;manufacturer=A%26B;model=HSM&1;slot-id=0;object=a%2Fb;id=%00%fF;type=private" +
				module + "&pin-source=/etc/pin",
			uri.URI{
				Token:      uri.Token{Label: "My Token", Serial: "0123", Manufacturer: "A&B", Model: "HSM&1", HasSlotID: true},
				Object:     "a/b",
				ID:         "\x00\xff",
				ModulePath: "/usr/lib/m.so",
				PIN:        uri.PINSource{Path: "/etc/pin"},
			},
		},
		{
			"pkcs11:id=%01?pin-source=file:/etc/pin&module-path=/m.so",
			uri.URI{ID: "\x01", ModulePath: "/m.so", PIN: uri.PINSource{Path: "/etc/pin"}},
		},
		{
			"pkcs11:id=%01?pin-source=file:///etc/p%2520n&module-path=/m.so",
			uri.URI{ID: "\x01", ModulePath: "/m.so", PIN: uri.PINSource{Path: "/etc/p%20n"}},
		},
		{
			"pkcs11:id=%01?pin-source=file://localhost/etc/pin&module-path=/m.so",
			uri.URI{ID: "\x01", ModulePath: "/m.so", PIN: uri.PINSource{Path: "/etc/pin"}},
		},
		{
			"pkcs11:object=a" + module + "&pin-source=credential:hsm-pin",
			uri.URI{Object: "a", ModulePath: "/usr/lib/m.so", PIN: uri.PINSource{Credential: "hsm-pin"}},
		},
		{
			"pkcs11:object=a?module-name=softhsm2&pin-source=|/usr/lib/pinomatic",
			uri.URI{Object: "a", ModuleName: "softhsm2", PIN: uri.PINSource{Command: "/usr/lib/pinomatic"}},
		},
		{
			"pkcs11:object=a?pin-source=%7C/opt/my%20pin&module-path=/m.so",
			uri.URI{Object: "a", ModulePath: "/m.so", PIN: uri.PINSource{Command: "/opt/my pin"}},
		},
		{
			"pkcs11:object=a?x-init-args=configdir='sql:/etc/a%20b'%20flags=%22readOnly%22&module-path=/m.so",
			uri.URI{Object: "a", ModulePath: "/m.so", InitArgs: `configdir='sql:/etc/a b' flags="readOnly"`},
		},
		{
			"pkcs11:token=Software%20PKCS%2311%20softtoken;object=a;slot-id=18446744073709551615" + module,
			uri.URI{Token: uri.Token{Label: "Software PKCS#11 softtoken", SlotID: 1<<64 - 1, HasSlotID: true}, Object: "a", ModulePath: "/usr/lib/m.so"},
		},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := uri.Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			again, err := uri.Parse(got.String())
			if err != nil {
				t.Fatalf("its own form %q: %v", got, err)
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("read back from %q: -first +second:\n%s", got, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"file:/x", `begins with "pkcs11:"`},
		{"pkcs11:", "names no key"},
		{"pkcs11:token=t" + module, "names no key"},
		{"pkcs11:object=a", "has no module-path"},
		{"pkcs11:object=a?", `part 1 between "&" is not name=value`},
		{"pkcs11:object=a;" + module, `part 2 between ";" is not name=value`},
		{"pkcs11:object=a;object=b" + module, `"object" twice`},
		{"pkcs11:object=" + module, `"object" is empty`},
		{"pkcs11:object=a%2" + module, "ends inside a %XX escape"},
		{"pkcs11:object=a%zz" + module, "not followed by two hexadecimal digits"},
		{"pkcs11:object=a b" + module, `must be written as %20`},
		{"pkcs11:object=a/b" + module, `must be written as %2F`},
		{"pkcs11:object=a%FF" + module, "is not UTF-8 text"},
		{"pkcs11:object=" + strings.Repeat("a", 256) + module, "has 256 bytes, want at most 255"},
		{"pkcs11:token=" + strings.Repeat("a", 33) + ";object=a" + module, "has 33 bytes, want at most 32"},
		{"pkcs11:object=" + strings.Repeat("a", 5000), "want at most 4096"},
		{"pkcs11:object=a;slot-id=x" + module, `"slot-id" is not a decimal number`},
		{"pkcs11:object=a;slot-id=-1" + module, `"slot-id" is not a decimal number`},
		{"pkcs11:object=a;type=public" + module, `"type" is not "private"`},
		{"pkcs11:object=a;library-version=3" + module, `"library-version" is not supported: module-path says`},
		{"pkcs11:object=a;library-manufacturer=3" + module, `"library-manufacturer" is not supported: module-path says`},
		{"pkcs11:object=a;library-description=3" + module, `"library-description" is not supported: module-path says`},
		{"pkcs11:object=a;slot-description=3" + module, `"slot-description" is not supported: select the token by`},
		{"pkcs11:object=a;slot-manufacturer=3" + module, `"slot-manufacturer" is not supported: select the token by`},
		{"pkcs11:object=a;slot-id=18446744073709551616" + module, `"slot-id" is not a decimal number`},
		{"pkcs11:object=a;module-name=m", `"module-name" is in the wrong place`},
		{"pkcs11:object=a;x-init-args=m" + module, `"x-init-args" is in the wrong place`},
		{"pkcs11:object=a" + module + "&token=t", `"token" is in the wrong place`},
		{"pkcs11:object=a;x-vendor=3" + module, `"x-vendor" is not supported in front`},
		{"pkcs11:object=a;module-path=%2Fm.so", `"module-path" is in the wrong place`},
		{"pkcs11:object=a?module-path=m.so", `"module-path" is not an absolute path`},
		{"pkcs11:object=a?module-path=/m%00.so", `"module-path" has a zero byte`},
		{"pkcs11:object=a?module-name=softhsm2&module-path=/m.so", "has both module-path and module-name"},
		{"pkcs11:object=a?module-name=../m", "is not the name of a module"},
		{"pkcs11:object=a?module-name=.m", "is not the name of a module"},
		{"pkcs11:object=a?module-name=/m.so", "is not the name of a module"},
		{"pkcs11:object=a?module-name=m*", "is not the name of a module"},
		{"pkcs11:object=a?module-name=" + strings.Repeat("m", 65), "has 65 bytes, want at most 64"},
		{"pkcs11:object=a" + module + "&x-init-args=%00", `"x-init-args" has a zero byte`},
		{"pkcs11:object=a" + module + "&x-init-args=%FF", `"x-init-args" is not UTF-8 text`},
		{"pkcs11:object=a" + module + "&x-init-args=" + strings.Repeat("a", 1025), "has 1025 bytes, want at most 1024"},
		{"pkcs11:object=a" + module + "&x-init-args=a%20b&x-init-args=c", `"x-init-args" twice`},
		{"pkcs11:object=a" + module + "&max-sessions=3", `"max-sessions" is not supported after`},
		{"pkcs11:object=a" + module + "&pin-source=pin", "is not an absolute path"},
		{"pkcs11:object=a" + module + "&pin-source=|bin/pin", `is not a program after the "|": is not an absolute path`},
		{"pkcs11:object=a" + module + "&pin-source=|", `is not a program after the "|"`},
		{"pkcs11:object=a" + module + "&pin-source=|/bin/pin%00", "has a zero byte"},
		{"pkcs11:object=a" + module + "&pin-source=file://elsewhere/pin", "on another host"},
		{"pkcs11:object=a" + module + "&pin-source=credential:", "does not name a systemd credential"},
		{"pkcs11:object=a" + module + "&pin-source=credential:../pin", "does not name a systemd credential"},
		{"pkcs11:object=a" + module + "&pin-source=credential:..", "does not name a systemd credential"},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := uri.Parse(test.in)
			if err == nil {
				t.Fatalf("accepted as %v", got)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want it to contain %q", err, test.want)
			}
		})
	}
}

func TestParseNeverRepeatsAPIN(t *testing.T) {
	const pin = "s3cr3tPIN"
	for _, in := range []string{
		"pkcs11:object=a" + module + "&pin-value=" + pin,
		"pkcs11:object=a;pin-value=" + pin + module,
		"pkcs11:object=a" + module + "&pin-valeu=" + pin,
		"pkcs11:object=a" + module + "&pin%2Dvalue=" + pin,
		"pkcs11:object=a" + module + "&" + pin,
		"pkcs11:object=a" + module + "&pin-source=" + pin,
		"pkcs11:object=a" + module + "&pin-source=credential:" + pin + "/",
		"pkcs11:object=a" + module + "&pin-value=" + pin + " ",
		"pkcs11:object=a;pin=" + pin + module,
	} {
		_, err := uri.Parse(in)
		if err == nil {
			t.Errorf("accepted %q", in)
		} else if strings.Contains(err.Error(), pin) {
			t.Errorf("error repeats the PIN: %v", err)
		}
	}
	_, err := uri.Parse("pkcs11:object=a" + module + "&pin-value=" + pin)
	if err == nil || !strings.Contains(err.Error(), "pin-source=") {
		t.Errorf("error %v, want it to say how to do it right", err)
	}
}

// TestDocumentation reads the URIs that the documentation shows.
func TestDocumentation(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?m)(?:^|`)(pkcs11:[^`\\s]+[?][^`\\s]+)").FindAllSubmatch(docs, -1)
	if len(found) < 2 {
		t.Fatalf("found %d URIs, want the first example and that of NSS", len(found))
	}
	for _, m := range found {
		if _, err := uri.Parse(string(m[1])); err != nil {
			t.Errorf("%s %v", m[1], err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:object=a" + module)
	f.Add("pkcs11:token=a%20b;serial=1;manufacturer=m;model=x;slot-id=7;object=o;id=%00%01;type=private" + module + "&pin-source=file:///p")
	f.Add("pkcs11:object=a?module-path=/m?&pin-source=credential:a.b")
	f.Add("pkcs11:object=a?module-name=softhsm2&x-init-args=configdir='sql:/db'&pin-source=|/usr/lib/pinomatic")
	f.Add("pkcs11:;=?&=%")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := uri.Parse(s)
		if err != nil {
			return
		}
		again, err := uri.Parse(u.String())
		if err != nil {
			t.Fatalf("%q was accepted, but not its normal form %q: %v", s, u, err)
		}
		if (u.ModulePath == "") == (u.ModuleName == "") || u.Object+u.ID == "" {
			t.Fatalf("%q was accepted as %+v", s, u)
		}
		if strings.ContainsRune(u.ModuleName, '/') || strings.ContainsRune(u.InitArgs+u.ModulePath+u.PIN.String(), 0) {
			t.Fatalf("%q was accepted as %+v", s, u)
		}
		if diff := cmp.Diff(u, again); diff != "" {
			t.Fatalf("%q and its normal form %q differ:\n%s", s, u, diff)
		}
	})
}
