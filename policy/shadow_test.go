package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestShadowed(t *testing.T) {
	r := func(name string, change func(*Rule)) Rule {
		r := Rule{Name: name, Effect: Allow}
		change(&r)
		return r
	}
	app := func(g ...Glob) func(*Rule) { return func(r *Rule) { r.Apps = g } }
	for name, c := range map[string]struct {
		rules []Rule
		want  string // of the last rule; "": nothing
		field string
	}{
		"nothing":                      {[]Rule{r("a", app("x")), r("b", app("y"))}, "", ""},
		"the same":                     {[]Rule{r("a", app("x")), r("b", app("x"))}, `rule "b" is never reached: rule "a" before it matches everything that it matches`, ""},
		"a pattern":                    {[]Rule{r("a", app("com.*")), r("b", app("com.acme.*"))}, "never reached", ""},
		"the narrow one first":         {[]Rule{r("a", app("com.acme.*")), r("b", app("com.*"))}, "", ""},
		"fewer versions":               {[]Rule{r("a", func(r *Rule) { r.Versions = []Glob{"1.*"} }), r("b", func(r *Rule) {})}, "", ""},
		"within the versions":          {[]Rule{r("a", func(r *Rule) { r.Versions = []Glob{"1.*"} }), r("b", func(r *Rule) { r.Versions = []Glob{"1.2.*"} })}, "never reached", ""},
		"units are not users":          {[]Rule{r("a", func(r *Rule) { r.Units = []Glob{"*"} }), r("b", func(r *Rule) { r.Users = []Glob{"x"} })}, "", ""},
		"within the units":             {[]Rule{r("a", func(r *Rule) { r.Units = []Glob{"x.*"}; r.Users = []Glob{"u"} }), r("b", func(r *Rule) { r.Units = []Glob{"x.service"} })}, "never reached", ""},
		"a token is more than none":    {[]Rule{r("a", func(r *Rule) { r.Tokens = []Glob{"*"} }), r("b", func(r *Rule) {})}, "", ""},
		"within the tokens":            {[]Rule{r("a", func(r *Rule) { r.Tokens = []Glob{"git*"} }), r("b", func(r *Rule) { r.Tokens = []Glob{"github"} })}, "never reached", ""},
		"a token is less than any":     {[]Rule{r("a", func(r *Rule) {}), r("b", func(r *Rule) { r.Tokens = []Glob{"github"} })}, "never reached", ""},
		"emergencies are others":       {[]Rule{r("a", func(r *Rule) {}), approve(func(r *Rule) { r.BreakGlass = true })}, "", ""},
		"an emergency like another":    {[]Rule{approve(func(r *Rule) { r.Name, r.BreakGlass = "a", true }), approve(func(r *Rule) { r.BreakGlass = true; r.Apps = []Glob{"x"} })}, "never reached", ""},
		"a condition lets some by":     {[]Rule{r("a", func(r *Rule) { r.When = `request.files == 0` }), r("b", func(r *Rule) {})}, "", ""},
		"the same condition":           {[]Rule{r("a", func(r *Rule) { r.When = `request.files == 0` }), r("b", func(r *Rule) { r.When = `request.files == 0` })}, "never reached", ""},
		"another condition":            {[]Rule{r("a", func(r *Rule) { r.When = `request.files == 0` }), r("b", func(r *Rule) { r.When = `request.files == 1` })}, "", ""},
		"a condition under none":       {[]Rule{r("a", func(r *Rule) {}), r("b", func(r *Rule) { r.When = `request.files == 1` })}, "never reached", ""},
		"a condition that is true":     {[]Rule{r("a", func(r *Rule) { r.When = `1 < 2 || request.app == "x"` }), r("b", func(r *Rule) {})}, "never reached", ""},
		"a condition that is false":    {[]Rule{r("a", func(r *Rule) { r.When = `request.app == "x" && "a" == "b"` })}, `rule "a" never matches: its condition is always false`, "when"},
		"a condition that is an error": {[]Rule{r("a", func(r *Rule) { r.When = `1 / 0 == 1` })}, "", ""},
		"only for one of two": {[]Rule{approve(func(r *Rule) {
			r.Users, r.Approvals = []Glob{"bob"}, []Requirement{{[]string{"release"}, 3, false}}
		})}, `it is for user "bob", who does not count`, "approvals"},
		"only for some of three": {[]Rule{approve(func(r *Rule) {
			r.Users, r.Approvals = []Glob{"bob", "ci"}, []Requirement{{[]string{"release"}, 3, false}}
		})}, "", ""},
		"for one, but enough others": {[]Rule{approve(func(r *Rule) { r.Users = []Glob{"bob"} })}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, team(c.rules...))
			got := p.Shadowed()
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("got %+v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || got[0].Rule != len(c.rules)-1 || got[0].Field != c.field || !strings.Contains(got[0].Reason, c.want) {
				t.Errorf("got %+v, want %q", got, c.want)
			}
		})
	}
}

// TestShadowedIsNeverWrong looks for a request that reaches a rule of which it is
// said that none does.
func TestShadowedIsNeverWrong(t *testing.T) {
	globs := func(t *rapid.T, name string) []Glob {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Glob {
			return Glob(rapid.StringMatching(`[ab*]{1,3}`).Draw(t, "glob"))
		}), 0, 2).Draw(t, name)
	}
	conditions := []string{"", "", "", "true", "false", `request.files == 1`}
	rule := func(t *rapid.T, name string) Rule {
		return Rule{
			Name: name, Effect: Allow, Apps: globs(t, name+" apps"), Versions: globs(t, name+" versions"),
			Users: globs(t, name+" users"), Groups: globs(t, name+" groups"), Units: globs(t, name+" units"),
			Tokens: globs(t, name+" tokens"), When: rapid.SampledFrom(conditions).Draw(t, name+" when"),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p, err := New([]Rule{rule(t, "a"), rule(t, "b")})
		if err != nil {
			t.Fatal(err)
		}
		shadowed := p.Shadowed()
		word := rapid.StringMatching(`[ab]{0,2}`)
		for range 20 {
			q := Request{App: word.Draw(t, "app"), Version: word.Draw(t, "version"), Files: rapid.IntRange(0, 1).Draw(t, "files")}
			q.Requester = Identity{
				User: rapid.StringMatching(`[ab]{1,2}`).Draw(t, "user"), Unit: word.Draw(t, "unit"),
				Groups: rapid.SliceOfN(word, 0, 2).Draw(t, "groups"),
			}
			if rapid.Bool().Draw(t, "has a token") {
				q.Requester.Token = &Token{Issuer: word.Draw(t, "issuer")}
			}
			d := p.Decide(q)
			for _, s := range shadowed {
				if d.Rule == []string{"a", "b"}[s.Rule] {
					t.Fatalf("%s, but it decided about %+v", s.Reason, q)
				}
			}
		}
	})
}
