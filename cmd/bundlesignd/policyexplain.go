package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/cmd/internal/show"
	"github.com/bundlesign/bundlesign/policy"
)

// maxClaims is the largest file with claims in bytes, far above any token.
const maxClaims = 64 << 10

func newPolicyExplainCommand() *cobra.Command {
	var source policySource
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what a policy decides of a request, and why",
		Long: `Say what a policy decides of one request, who must still agree, and of each rule
why it matches the request or does not. The request is described by the flags;
nothing is sent anywhere, and neither a daemon nor a key is needed.`,
		Example: `  bundlesignd policy explain --app com.acme.shop --channel production --version 1.5.0 \
    --user alice --group release --last-version 1.4.0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := flags.request(time.Now())
			if err != nil {
				return &usageError{err}
			}
			p, err := source.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			v, err := judge(p, q, flags.approvedBy, flags.recent)
			if err != nil {
				return err
			}
			if flags.json {
				return printVerdictJSON(cmd.OutOrStdout(), v)
			}
			return printVerdict(cmd.OutOrStdout(), v)
		},
	}
	source.flags(cmd)
	flags.register(cmd)
	return cmd
}

// explainFlags are what the user typed.
type explainFlags struct {
	app, channel, version, digest, key, breakGlass string
	files                                          int
	also, labels                                   []string
	user, unit, issuer, claims                     string
	uid                                            uint32
	groups                                         []string
	time, lastVersion, lastDigest                  string
	approvedBy                                     []string
	recent                                         int
	json                                           bool
}

func (f *explainFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.app, "app", "", "the id of the app")
	s.StringVar(&f.channel, "channel", "", "the channel")
	s.StringVar(&f.version, "version", "", "the version")
	s.StringVar(&f.digest, "digest", "", "the SHA-256 of the plain bundle, in hex")
	s.IntVar(&f.files, "files", 0, "how many files a delta update has")
	s.StringVar(&f.key, "key", "", "the name of the key")
	s.StringArrayVar(&f.also, "also-key", nil, "the `NAME` of a further key that signs the same; may be repeated")
	s.StringArrayVar(&f.labels, "label", nil, "a label as `NAME=VALUE`; may be repeated")
	s.StringVar(&f.breakGlass, "break-glass", "", "the `REASON` for breaking the glass")
	s.StringVar(&f.user, "user", "", "the name of the user who asks")
	s.Uint32Var(&f.uid, "uid", 1000, "the user's number, and that of the primary group")
	s.StringArrayVar(&f.groups, "group", nil, "the name of a group that the user is in; may be repeated")
	s.StringVar(&f.unit, "unit", "", "the systemd unit that the user's process runs in")
	s.StringVar(&f.issuer, "token-issuer", "", "the name of the issuer of an ID token")
	s.StringVar(&f.claims, "token-claims", "", "the `FILE` with the claims of that token, as JSON")
	s.StringVar(&f.time, "time", "", "when it is asked, such as 2026-03-02T12:00:00Z (default: now)")
	s.StringVar(&f.lastVersion, "last-version", "", "the version that was signed last for the app and channel (default: none was)")
	s.StringVar(&f.lastDigest, "last-digest", "", "the SHA-256 of that bundle")
	s.StringArrayVar(&f.approvedBy, "approved-by", nil, "the name of a `PERSON` who has approved; may be repeated")
	s.IntVar(&f.recent, "signed", 0, "how many requests were signed within the span of each limit")
	s.BoolVar(&f.json, "json", false, "print JSON")
	for _, name := range []string{"app", "channel", "version", "user"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is registered above
		}
	}
}

// request is what the flags describe.
func (f *explainFlags) request(now time.Time) (policy.Request, error) {
	if err := policy.CheckAppID(f.app); err != nil {
		return policy.Request{}, fmt.Errorf("--app: %w", err)
	}
	q := policy.Request{
		App: f.app, Channel: f.channel, Version: f.version, Digest: f.digest, Files: f.files, Key: f.key, Also: f.also,
		Labels: make(map[string]string), BreakGlass: f.breakGlass, Time: now,
		Requester: policy.Identity{UID: f.uid, GID: f.uid, User: f.user, Groups: f.groups, Unit: f.unit},
	}
	if f.time != "" {
		at, err := time.Parse(time.RFC3339, f.time)
		if err != nil {
			return q, fmt.Errorf("--time: found %q, want a time such as 2026-03-02T12:00:00Z", f.time)
		}
		q.Time = at
	}
	switch {
	case f.lastVersion != "":
		q.Last = policy.Release{Request: "last", Version: f.lastVersion, Digest: f.lastDigest, Time: q.Time.Add(-time.Hour)}
	case f.lastDigest != "":
		return q, errors.New("found --last-digest without --last-version, want both")
	}
	for _, label := range f.labels {
		name, value, ok := strings.Cut(label, "=")
		if !ok || name == "" {
			return q, fmt.Errorf("--label: found %q, want NAME=VALUE", label)
		}
		q.Labels[name] = value
	}
	return q, f.addToken(&q)
}

// addToken gives the requester the token that the flags describe, if they do.
func (f *explainFlags) addToken(q *policy.Request) error {
	if f.issuer == "" && f.claims == "" {
		return nil
	}
	if f.issuer == "" {
		return errors.New("found --token-claims without --token-issuer, want both")
	}
	t := &policy.Token{Issuer: f.issuer, Expires: q.Time.Add(time.Minute)}
	q.Requester.Token = t
	if f.claims == "" {
		return nil
	}
	data, err := readClaims(f.claims)
	if err != nil {
		return fmt.Errorf("--token-claims: %w", err)
	}
	if err := json.Unmarshal(data, &t.Claims); err != nil {
		return fmt.Errorf("--token-claims: %s: found no JSON object, want the claims as in a token's payload: %w", f.claims, err)
	}
	t.Subject, _ = t.Claims["sub"].(string) // a claim of another kind is for the rules to see
	return nil
}

func readClaims(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxClaims+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxClaims {
		return nil, fmt.Errorf("found more than %d bytes in %s, want the claims of a token", maxClaims, path)
	}
	return data, nil
}

// printVerdict prints the decision and then each rule.
func printVerdict(w io.Writer, v verdict) error {
	var head show.Table
	head.Row("decision", string(v.Effect))
	head.Row("reason", v.Reason)
	if v.Effect == policy.Approve {
		for _, m := range v.Missing {
			with := ""
			if m.UserVerification {
				with = ", with a FIDO2 key that verifies its user"
			}
			head.Row("missing", fmt.Sprintf("%s (%s)%s", missingText(m.From, m.Count), orNobodyElse(m.Candidates), with))
		}
		if len(v.Missing) == 0 {
			head.Row("missing", "nobody: it is signed")
		}
		head.Row("waits", "at most "+short(v.Expires))
	}
	head.Row("policy", v.PolicyHash)
	var rules show.Table
	for _, r := range v.Rules {
		result := "no"
		switch {
		case r.Decided:
			result = "decides"
		case r.Matched:
			result = "too late"
		}
		rules.Row("  "+r.Rule, result, r.Reason)
	}
	_, err := fmt.Fprintf(w, "%s\nrules:\n%s", head.String(), rules.String())
	return err
}

// short writes a time without parts that are zero: 12h, not 12h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func orNobodyElse(people []string) string {
	if len(people) == 0 {
		return "and nobody could"
	}
	return strings.Join(people, ", ")
}

// printVerdictJSON prints the same for programs.
func printVerdictJSON(w io.Writer, v verdict) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		policy.Decision
		Missing []policy.Missing `json:"missing,omitempty"`
		Rules   []policy.Verdict `json:"rules"`
	}{v.Decision, v.Missing, v.Rules})
}
