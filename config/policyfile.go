package config

import "github.com/bundlesign/bundlesign/policy"

// PolicyFile is policy.yaml: who may have what signed.
//
// Rules are tried in order, and the first that matches a request decides. A
// request that none matches is denied.
type PolicyFile struct {
	// The rules, the most particular first.
	Rules []Rule `yaml:"rules" need:"required" range:"0..1000"`
}

// Rule matches requests and says what becomes of them. A rule matches if all its
// lists do; a list that is left out matches everything. In patterns "*" stands
// for any run of characters, and one that begins with it goes in quotes.
type Rule struct {
	// What the rule is called in answers and in the log; unique.
	Name string `yaml:"name" need:"required"`

	// Patterns of app ids.
	Apps []policy.Glob `yaml:"apps" example:"[\"com.acme.*\"]"`

	// Patterns of channels.
	Channels []policy.Glob `yaml:"channels" example:"[staging, \"pr-*\"]"`

	// Patterns of names of users. With users and groups, one of either is
	// enough; without both, the rule is for everybody who can reach the socket.
	Users []policy.Glob `yaml:"users" example:"[ci]"`

	// Patterns of names of groups that the requester is in.
	Groups []policy.Glob `yaml:"groups" example:"[release]"`

	// Whether what matches is signed.
	Effect policy.Effect `yaml:"effect" need:"required" oneof:"allow deny"`

	// What a requester is told whom the rule denies; for rules that deny only.
	Message string `yaml:"message" example:"ask the release team"`
}

// rules returns the rules as package policy knows them. The conversion compiles
// only while both types have the same fields, so none can be forgotten here.
func (f *PolicyFile) rules() []policy.Rule {
	rules := make([]policy.Rule, len(f.Rules))
	for i, r := range f.Rules {
		rules[i] = policy.Rule(r)
	}
	return rules
}
