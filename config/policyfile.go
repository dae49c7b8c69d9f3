package config

import (
	"time"

	"github.com/bundlesign/bundlesign/policy"
)

// PolicyFile is policy.yaml: who may have what signed, and who must agree.
//
// Rules are tried in order, and the first that matches a request decides. A
// request that none matches is denied. Relative paths are relative to the folder
// that holds policy.yaml. docs/policy.md is the guide.
type PolicyFile struct {
	// The rules, the most particular first.
	Rules []Rule `yaml:"rules" need:"required" range:"0..1000"`

	// The people who may approve: their SSH keys, what groups they are in, and
	// what they log in with.
	People People `yaml:"people" example:"\n  allowed_signers: allowed_signers\n  groups: {release: [alice, bob, carol]}\n  accounts: {alice: {users: [alice]}, bob: {users: [bob]}, carol: {users: [carol]}}"`

	// Who may stop all signing ("bundlesign freeze"), and who must agree before
	// it goes on. Root and the daemon's own user may always freeze.
	Freezes Freezes `yaml:"freezes" example:"{groups: [release], lift: [{from: [release], threshold: 2}]}"`
}

// Rule matches requests and says what becomes of them. A rule matches if all its
// lists do and its when is true; a list that is left out matches everything. In
// patterns "*" stands for any run of characters, and one that begins with it goes
// in quotes.
type Rule struct {
	// What the rule is called in answers and in the log; unique.
	Name string `yaml:"name" need:"required"`

	// Patterns of app ids.
	Apps []policy.Glob `yaml:"apps" range:"1..1000" example:"[\"com.acme.*\"]"`

	// Patterns of channels.
	Channels []policy.Glob `yaml:"channels" range:"1..1000" example:"[staging, \"pr-*\"]"`

	// Patterns of versions.
	Versions []policy.Glob `yaml:"versions" range:"1..1000" example:"[\"2.*\"]"`

	// Patterns of names of users. With users, groups and units, one of any is
	// enough; without all three, the rule is for everybody who can reach the
	// socket.
	Users []policy.Glob `yaml:"users" range:"1..1000" example:"[ci]"`

	// Patterns of names of groups that the requester is in.
	Groups []policy.Glob `yaml:"groups" range:"1..1000" example:"[release]"`

	// Patterns of names of systemd units that the requester runs in.
	Units []policy.Glob `yaml:"units" range:"1..1000" example:"[\"actions-runner.service\"]"`

	// Patterns of names of token_issuers of config.yaml: the requester must have
	// brought a valid ID token of one of them, besides what the lists above want.
	// Left out, no token is needed.
	Tokens []policy.Glob `yaml:"tokens" range:"1..1000" example:"[github]"`

	// A condition in CEL (cel.dev) over request, peer, token, claims, labels, now
	// and last: the rule matches only if it is true. It is checked when the file
	// is read. If it cannot be evaluated for a request, that is denied, without a
	// look at the rules below.
	When string `yaml:"when" kind:"expression" example:"claims.ref == \"refs/heads/main\""`

	// Whether the rule is for emergencies: it matches requests that give a reason
	// for breaking the glass and no others, and those match no other rules. What
	// it lets through passes freezes and limits, and shouts in log and metrics.
	// Its effect must be approve.
	BreakGlass bool `yaml:"break_glass" example:"true"`

	// Whether what matches is signed: "allow" at once, "deny" never, "approve"
	// when the people agree whom approvals name.
	Effect policy.Effect `yaml:"effect" need:"required" oneof:"allow deny approve"`

	// What a requester is told whom the rule denies, or who has to wait for
	// approvals.
	Message string `yaml:"message" example:"ask the release team"`

	// Who must agree, for rules that approve: all of these requirements must be
	// met. One person counts for one of them only, whatever keys they have, and
	// who asks does not count.
	Approvals []Requirement `yaml:"approvals" range:"0..16" example:"[{from: [release], threshold: 2}]"`

	// How long a request may wait for approvals. Left out, 24h.
	Expires time.Duration `yaml:"expires" range:"1m..720h" example:"24h"`

	// What bounds the signatures that the rule lets through.
	Limits RuleLimits `yaml:"limits" example:"{versions: increasing, signatures: [{most: 10, within: 1h, per: app}]}"`
}

// Requirement is a number of people who must agree.
type Requirement struct {
	// Groups of people; a member of any of them counts.
	From []string `yaml:"from" need:"required" range:"1..20"`

	// How many of them must agree.
	Threshold int `yaml:"threshold" need:"required" range:"1..50"`

	// Whether only approvals with a FIDO2 key count that has verified its user, by
	// PIN or fingerprint (keys made with "ssh-keygen -t ed25519-sk -O
	// verify-required").
	UserVerification bool `yaml:"user_verification" example:"true"`
}

// RuleLimits bound what is signed. A request over a limit is denied, and says
// which. Requests that break the glass pass.
type RuleLimits struct {
	// "increasing": a version must be above every version that was signed before
	// for the same app and channel, by the precedence of Semantic Versioning
	// 2.0.0. The same version is signed again for the same bundle only.
	Versions string `yaml:"versions" oneof:"increasing" example:"increasing"`

	// How many requests are signed in a span of time.
	Signatures []SignatureLimit `yaml:"signatures" range:"0..10" example:"[{most: 10, within: 1h, per: app}]"`
}

// SignatureLimit bounds how many requests are signed in any span of time of this
// length.
type SignatureLimit struct {
	// How many requests.
	Most int `yaml:"most" need:"required" range:"1..1000000"`

	// The span of time, looking back from now.
	Within time.Duration `yaml:"within" need:"required" range:"1s..8784h"`

	// What they have in common: "rule", that the same rule let them through;
	// "app", the app; "requester", who asked (the token's issuer and subject, or
	// else the user).
	Per policy.Scope `yaml:"per" need:"required" oneof:"rule app requester"`
}

// People are those who may approve. A person has a name, which is a principal of
// the allowed_signers file.
type People struct {
	// The file with their SSH keys, in the form of OpenSSH (ssh-keygen(1),
	// "ALLOWED SIGNERS"). It must be as well protected as policy.yaml itself.
	AllowedSigners string `yaml:"allowed_signers" need:"required" kind:"path"`

	// Groups of people, by name.
	Groups map[string][]string `yaml:"groups" example:"{release: [alice, bob, carol], security: [dave, erin]}"`

	// What people log in with, by the person's name. Whoever asks for a signature
	// with one of these is that person, and does not count as an approver of it.
	// Of who never asks for a signature, say so: {}.
	Accounts map[string]Account `yaml:"accounts" example:"{alice: {users: [alice], tokens: [{issuer: github, claim: actor, value: alice-acme}]}}"`
}

// Account is what one person logs in with.
type Account struct {
	// Names of Unix users, in full.
	Users []string `yaml:"users" example:"[alice]"`

	// ID tokens by which the person is known.
	Tokens []TokenAccount `yaml:"tokens" range:"0..100" example:"[{issuer: github, claim: actor, value: alice-acme}]"`
}

// TokenAccount is whoever brings an ID token of an issuer in which a claim has a
// certain value.
type TokenAccount struct {
	// The name of one of the token_issuers of config.yaml, in full.
	Issuer string `yaml:"issuer" need:"required"`

	// The name of the claim, such as "actor" of GitHub or "user_login" of GitLab.
	Claim string `yaml:"claim" need:"required"`

	// The claim's value, in full.
	Value string `yaml:"value" need:"required"`
}

// Freezes says who may freeze and who lifts a freeze.
type Freezes struct {
	// Patterns of names of users who may freeze.
	Users []policy.Glob `yaml:"users" example:"[alice]"`

	// Patterns of names of groups whose members may freeze.
	Groups []policy.Glob `yaml:"groups" example:"[release]"`

	// Who must agree before a freeze is lifted, as in the approvals of a rule.
	// Left out, root and the daemon's own user lift it.
	Lift []Requirement `yaml:"lift" range:"0..16" example:"[{from: [release], threshold: 2}]"`
}

// document returns what the file says as package policy knows it.
func (f *PolicyFile) document(allowedSigners []byte) policy.Document {
	d := policy.Document{
		AllowedSigners: allowedSigners,
		Groups:         f.People.Groups,
		Freezes: policy.Freezes{
			Users: f.Freezes.Users, Groups: f.Freezes.Groups, Lift: requirements(f.Freezes.Lift),
		},
	}
	for _, r := range f.Rules {
		d.Rules = append(d.Rules, r.rule())
	}
	if len(f.People.Accounts) > 0 {
		d.Accounts = make(map[string]policy.Accounts, len(f.People.Accounts))
	}
	for person, a := range f.People.Accounts {
		accounts := policy.Accounts{Users: a.Users}
		for _, t := range a.Tokens {
			accounts.Tokens = append(accounts.Tokens, policy.TokenAccount(t))
		}
		d.Accounts[person] = accounts
	}
	return d
}

func (r *Rule) rule() policy.Rule {
	return policy.Rule{
		Name: r.Name, Apps: r.Apps, Channels: r.Channels, Versions: r.Versions,
		Users: r.Users, Groups: r.Groups, Units: r.Units, Tokens: r.Tokens,
		When: r.When, BreakGlass: r.BreakGlass, Effect: r.Effect, Message: r.Message,
		Approvals: requirements(r.Approvals), Expires: r.Expires, Limits: r.Limits.limits(),
	}
}

func requirements(list []Requirement) []policy.Requirement {
	var out []policy.Requirement
	for _, r := range list {
		out = append(out, policy.Requirement(r))
	}
	return out
}

// limits returns nil if there are none: package policy then has nothing to check.
func (l *RuleLimits) limits() *policy.Limits {
	if l.Versions == "" && len(l.Signatures) == 0 {
		return nil
	}
	limits := &policy.Limits{IncreasingVersions: l.Versions == increasing}
	for _, s := range l.Signatures {
		limits.Rates = append(limits.Rates, policy.Rate(s))
	}
	return limits
}

// increasing is the one value of [RuleLimits.Versions].
const increasing = "increasing"
