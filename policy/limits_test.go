package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Precedence by semver 2.0.0, section 11, with its own examples.
func TestCompareVersions(t *testing.T) {
	rising := []string{
		"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0-0", "2.0.0", "18446744073709551616.0.0", "18446744073709551617.0.0",
	}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got, err := compareVersions(a, b); got != want || err != nil {
				t.Errorf("%s and %s: got %d, %v, want %d", a, b, got, err, want)
			}
		}
	}
	if got, err := compareVersions("1.0.0+a", "1.0.0+b"); got != 0 || err != nil {
		t.Errorf("build metadata: got %d, %v, want 0", got, err)
	}
	for _, wrong := range []string{
		"", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2-rc.1", "1.2+b.c", "1.2.3 ", "１.2.3",
		"1.2.3-" + strings.Repeat("a", maxVersion),
	} {
		if _, err := compareVersions(wrong, "1.0.0"); err == nil {
			t.Errorf("%q: got no error", wrong)
		}
		if _, err := compareVersions("1.0.0", wrong); err == nil {
			t.Errorf("%q on the right: got no error", wrong)
		}
	}
}

func TestIncreasingVersions(t *testing.T) {
	l := &Limits{IncreasingVersions: true}
	for name, c := range map[string]struct {
		version, digest string
		highest         Release
		want            string // "": it may be signed
	}{
		"the first":                 {"0.0.1", "aa", Release{}, ""},
		"above":                     {"1.10.0", "aa", Release{Version: "1.9.0", Digest: "aa"}, ""},
		"below":                     {"1.9.0", "aa", Release{Version: "1.10.0", Digest: "bb"}, "version 1.9.0 is not above 1.10.0"},
		"below, the same bundle":    {"1.9.0", "aa", Release{Version: "1.10.0", Digest: "aa"}, "is not above"},
		"the same bundle again":     {"1.9.0", "aa", Release{Version: "1.9.0", Digest: "aa"}, ""},
		"another bundle":            {"1.9.0", "aa", Release{Version: "1.9.0", Digest: "bb"}, "was signed before"},
		"after its own pre-release": {"1.9.0", "aa", Release{Version: "1.9.0-rc.9", Digest: "bb"}, ""},
		"back to a pre-release":     {"1.9.0-rc.10", "aa", Release{Version: "1.9.0", Digest: "aa"}, "is not above"},
		"other build metadata":      {"1.9.0+2", "aa", Release{Version: "1.9.0+1", Digest: "aa"}, "is not above"},
		"no version":                {"latest", "aa", Release{Version: "1.9.0", Digest: "bb"}, `cannot be compared: found version "latest"`},
		"after no version":          {"1.9.0", "aa", Release{Version: "latest", Digest: "bb"}, `cannot be compared: found version "latest"`},
		"after an empty version":    {"1.9.0", "aa", Release{Request: "r"}, "cannot be compared"},
	} {
		t.Run(name, func(t *testing.T) {
			q := release()
			q.Version, q.Digest = c.version, c.digest
			reason, err := l.Check(q, Usage{Highest: c.highest})
			if err != nil || (reason == "") != (c.want == "") || !strings.Contains(reason, c.want) {
				t.Errorf("got %q, %v, want %q", reason, err, c.want)
			}
		})
	}
}

// history is what was signed before, and counts it as a store does.
type history map[Scope][]time.Time

func (h history) count(per Scope, since time.Time) (int, error) {
	n := 0
	for _, at := range h[per] {
		if !at.Before(since) {
			n++
		}
	}
	return n, nil
}

func TestRates(t *testing.T) {
	now := release().Time
	ago := func(d ...time.Duration) (at []time.Time) {
		for _, d := range d {
			at = append(at, now.Add(-d))
		}
		return at
	}
	two := &Limits{Rates: []Rate{{2, 24 * time.Hour, PerApp}, {100, time.Hour, PerRequester}}}
	for name, c := range map[string]struct {
		limits *Limits
		signed history
		want   string
	}{
		"no limits":              {nil, history{PerApp: ago(0, 0, 0)}, ""},
		"nothing yet":            {two, nil, ""},
		"one left":               {two, history{PerApp: ago(time.Hour), PerRule: ago(0, 0, 0)}, ""},
		"used up":                {two, history{PerApp: ago(6*time.Hour, 18*time.Hour)}, `2 signed for app "com.acme.shop" in the last 24h, and at most 2 may be; there is room again in about 6h`},
		"more than used up":      {two, history{PerApp: ago(time.Hour, 6*time.Hour, 18*time.Hour)}, "there is room again in about 18h"},
		"one is old":             {two, history{PerApp: ago(time.Hour, 24*time.Hour+time.Second)}, ""},
		"one is just not old":    {two, history{PerApp: ago(time.Hour, 24*time.Hour)}, "2 signed"},
		"signed in the future":   {two, history{PerApp: ago(-time.Hour, -2*time.Hour)}, "there is room again in about 24h"},
		"the second limit":       {&Limits{Rates: []Rate{{9, time.Hour, PerApp}, {1, time.Minute, PerRequester}}}, history{PerRequester: ago(0)}, "1 signed for ci (uid 1000) with a token of github"},
		"the rule's":             {&Limits{Rates: []Rate{{1, time.Minute, PerRule}}}, history{PerRule: ago(20 * time.Second)}, "1 signed by this rule in the last 1m, and at most 1 may be; there is room again in about 40s"},
		"increasing and a limit": {&Limits{IncreasingVersions: true, Rates: []Rate{{1, time.Minute, PerRule}}}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			usage := Usage{Count: func(per Scope, since time.Time) (int, error) {
				asked++
				return c.signed.count(per, since)
			}}
			reason, err := c.limits.Check(release(), usage)
			if err != nil || (reason == "") != (c.want == "") {
				t.Errorf("got %q, %v, want %q", reason, err, c.want)
			}
			// The time to wait is found to a thousandth of the span, or to a second.
			text, about, _ := strings.Cut(c.want, "about ")
			if !strings.Contains(reason, text) {
				t.Errorf("got %q, want %q", reason, c.want)
			}
			if about != "" {
				_, got, _ := strings.Cut(reason, "about ")
				wait, err := time.ParseDuration(got)
				want, _ := time.ParseDuration(about)
				if err != nil || wait < want || wait > want+2*time.Minute {
					t.Errorf("room again in about %s, want %s", got, about)
				}
			}
			if asked > 20 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// Who cannot count does not allow.
func TestLimitsFailClosed(t *testing.T) {
	l := &Limits{Rates: []Rate{{1, time.Hour, PerRule}}}
	broken := errors.New("disk on fire")
	for name, count := range map[string]func(Scope, time.Time) (int, error){
		"nobody counts": nil,
		"count fails":   func(Scope, time.Time) (int, error) { return 0, broken },
		"count fails later": func(_ Scope, since time.Time) (int, error) {
			if since.Equal(release().Time.Add(-time.Hour)) {
				return 5, nil
			}
			return 0, broken
		},
	} {
		if reason, err := l.Check(release(), Usage{Count: count}); err == nil {
			t.Errorf("%s: got %q and no error", name, reason)
		}
	}
}
