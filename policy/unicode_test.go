package policy

import "testing"

// Names that look like another one are other names: bytes are compared. No rule
// has them, so they are denied; a rule that has them does not match the other.
func TestNamesThatLookAlike(t *testing.T) {
	p := mustNew(t,
		Rule{Name: "production", Apps: []Glob{"com.acme.shop"}, Channels: []Glob{"production", "caf\u00e9", "stra\u00dfe"}, Effect: Allow},
		Rule{Name: "previews", Apps: []Glob{"com.acme.shop"}, Channels: []Glob{"pr-*"}, Effect: Allow},
		Rule{Name: "hebrew", Apps: []Glob{"com.acme.shop"}, Channels: []Glob{"\u05d0\u05d1"}, Effect: Allow})
	for name, c := range map[string]struct{ app, channel, rule string }{
		"itself":                          {"com.acme.shop", "production", "production"},
		"composed":                        {"com.acme.shop", "caf\u00e9", "production"},
		"decomposed":                      {"com.acme.shop", "cafe\u0301", ""},
		"right to left":                   {"com.acme.shop", "\u05d0\u05d1", "hebrew"},
		"right to left, other order":      {"com.acme.shop", "\u05d1\u05d0", ""},
		"Cyrillic o":                      {"com.acme.sh\u043ep", "production", ""},
		"Cyrillic o in the channel":       {"com.acme.shop", "pr\u043eduction", ""},
		"Greek omicron":                   {"com.acme.shop", "pr\u03bfduction", ""},
		"full width":                      {"com.acme.shop", "\uff50roduction", ""},
		"ligature":                        {"com.acme.shop", "\ufb01x", ""},
		"upper case":                      {"com.acme.shop", "Production", ""},
		"upper case app":                  {"COM.acme.shop", "production", ""},
		"Kelvin sign is no k":             {"com.acme.shop", "\u212a", ""},
		"sharp s is not ss":               {"com.acme.shop", "strasse", ""},
		"capital sharp s":                 {"com.acme.shop", "stra\u1e9ee", ""},
		"long s":                          {"com.acme.\u017fhop", "production", ""},
		"dotless i":                       {"com.acme.shop", "product\u0131on", ""},
		"override of the direction":       {"com.acme.shop", "\u202eproduction", ""},
		"isolate":                         {"com.acme.shop", "\u2066production\u2069", ""},
		"zero width joiner":               {"com.acme.shop", "produc\u200dtion", ""},
		"byte order mark":                 {"com.acme.shop", "\ufeffproduction", ""},
		"soft hyphen":                     {"com.acme.shop", "produc\u00adtion", ""},
		"combining mark at the end":       {"com.acme.shop", "production\u0301", ""},
		"variation selector":              {"com.acme.shop", "production\ufe0f", ""},
		"NUL at the end":                  {"com.acme.shop", "production\x00", ""},
		"NUL in the app":                  {"com.acme.shop\x00.evil", "production", ""},
		"new line at the end":             {"com.acme.shop", "production\n", ""},
		"space at the end":                {"com.acme.shop", "production ", ""},
		"no-break space":                  {"com.acme.shop", "production\u00a0", ""},
		"not UTF-8":                       {"com.acme.shop", "production\xff", ""},
		"overlong encoding of p":          {"com.acme.shop", "\xc1\xb0roduction", ""},
		"half of a letter":                {"com.acme.shop", "caf\xc3", ""},
		"a star takes a mark up":          {"com.acme.shop", "pr-\u0301", "previews"},
		"a star takes bytes up":           {"com.acme.shop", "pr-\xff", "previews"},
		"a star is a star only in a rule": {"com.acme.*", "production", ""},
		"star as a channel":               {"com.acme.shop", "*", ""},
		"star as an app":                  {"*", "production", ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := release()
			q.App, q.Channel = c.app, c.channel
			if d := p.Decide(q); d.Rule != c.rule || (d.Effect == Allow) != (c.rule != "") {
				t.Errorf("app %+q, channel %+q: got %+v, want rule %q", c.app, c.channel, d, c.rule)
			}
		})
	}
}

// A pattern may have letters of any script, but nothing that is not seen.
func TestGlobsShowAllThatIsInThem(t *testing.T) {
	for _, g := range []Glob{"caf\u00e9", "cafe\u0301", "\u05d0*", "sh\u043ep", "\u5e97", "a b", "*"} {
		if err := g.check(); err != nil {
			t.Errorf("%+q: %v", g, err)
		}
	}
	for _, g := range []Glob{
		"", "a\x00", "a\n", "a\t", "\u202ea", "a\u200d", "\ufeffa", "a\u00ad", "a\u00a0b", "a\xff", "\xc1\xb0", "\ue000",
		"a?", "[ab]", "{a,b}", `a\*`, "\ufffd",
	} {
		if err := g.check(); err == nil {
			t.Errorf("%+q: got no error", g)
		}
	}
}

// The same in conditions.
func TestConditionsCompareBytes(t *testing.T) {
	for channel, want := range map[string]bool{"caf\u00e9": true, "cafe\u0301": false, "CAF\u00c9": false} {
		q := release()
		q.Channel = channel
		if d := when(t, `request.channel == "caf`+"\u00e9"+`"`).Decide(q); (d.Effect == Allow) != want {
			t.Errorf("channel %+q: got %+v, want a match: %t", channel, d, want)
		}
	}
}
