package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bundlesign/bundlesign/policy"
)

// CaseFile is a file of cases for "bundlesignd policy test".
//
// Each case is a request, and what the policy is expected to say of it. All files
// below a folder that end in .yaml or .yml are read.
type CaseFile struct {
	// When the requests of the file are made, if they do not say themselves.
	Time string `yaml:"time" kind:"time" example:"2026-03-02T12:00:00Z"`

	// The cases.
	Cases []Case `yaml:"cases" need:"required" range:"1..1000"`
}

// Case is one request, and what is expected.
type Case struct {
	// What the case is called; unique in its file.
	Name string `yaml:"name" need:"required"`

	// What is to be signed.
	Request CaseRequest `yaml:"request" need:"required"`

	// Who asks for it.
	Requester CaseRequester `yaml:"requester" need:"required"`

	// When. Left out, the time of the file.
	Time string `yaml:"time" kind:"time" example:"2026-03-02T12:00:00Z"`

	// What was signed last for the same app and channel; it counts as the highest
	// version too. Left out, nothing was.
	Last CaseRelease `yaml:"last" example:"{version: 1.4.0}"`

	// The people who have approved, with keys that satisfy every requirement.
	ApprovedBy []string `yaml:"approved_by" example:"[alice, bob]"`

	// What was signed before, for limits.
	Signed CaseUsage `yaml:"signed" example:"{recent: 10}"`

	// What the policy is to say.
	Expect Expectation `yaml:"expect" need:"required"`

	// File and Line are where the case stands; [LoadCases] sets them.
	File string `yaml:"-"`
	Line int    `yaml:"-"`
	// at is Time, or that of the file.
	at time.Time `yaml:"-"`
}

// CaseRequest is what is to be signed.
type CaseRequest struct {
	// The id of the app.
	App string `yaml:"app" need:"required"`

	// The channel.
	Channel string `yaml:"channel" need:"required"`

	// The version of the bundle.
	Version string `yaml:"version" need:"required"`

	// The SHA-256 of the plain bundle, in hex.
	Digest string `yaml:"digest" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`

	// How many files the request has, of a delta update.
	Files int `yaml:"files" range:"0..100000"`

	// The name of the key.
	Key string `yaml:"key" example:"acme-shop"`

	// The names of further keys that sign the same. The policy is asked for each.
	Also []string `yaml:"also" range:"0..3" example:"[acme-shop-new]"`

	// Labels of the request.
	Labels map[string]string `yaml:"labels" example:"{ticket: REL-42}"`

	// The reason for breaking the glass. Left out, it is an ordinary request.
	BreakGlass string `yaml:"break_glass" example:"the shop is down"`
}

// CaseRequester is who asks.
type CaseRequester struct {
	// The name of the Unix user.
	User string `yaml:"user" need:"required"`

	// The user's number; that of the primary group is the same.
	UID int `yaml:"uid" range:"0..4294967294"`

	// The names of the user's groups.
	Groups []string `yaml:"groups" example:"[release]"`

	// The systemd unit that the requester runs in.
	Unit string `yaml:"unit" example:"actions-runner.service"`

	// The ID token that came with the request. Left out, none did.
	Token CaseToken `yaml:"token" example:"{issuer: github, claims: {repository: acme/shop}}"`
}

// CaseToken is an ID token that was found to be valid.
type CaseToken struct {
	// The name of its issuer in token_issuers of config.yaml.
	Issuer string `yaml:"issuer" need:"required"`

	// The claim sub.
	Subject string `yaml:"subject" example:"repo:acme/shop:ref:refs/heads/main"`

	// Its claims, which may have lists and fields in them.
	Claims map[string]any `yaml:"claims" example:"{repository: acme/shop, ref: refs/heads/main}"`
}

// CaseRelease is a bundle that was signed.
type CaseRelease struct {
	// Its version.
	Version string `yaml:"version" need:"required"`

	// The SHA-256 of the plain bundle, in hex.
	Digest string `yaml:"digest" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`

	// When it was signed. Left out, an hour before.
	Time string `yaml:"time" kind:"time" example:"2026-03-02T11:00:00Z"`
}

// CaseUsage is what was signed before.
type CaseUsage struct {
	// How many requests were signed within each limit's span of time, whatever
	// they are to have in common.
	Recent int `yaml:"recent" need:"required" range:"0..1000000"`
}

// Expectation is what the policy is to say of a case. What is left out is not
// looked at.
type Expectation struct {
	// What becomes of the request. "approve": it is signed when people have
	// agreed. A request over a limit is expected as "deny".
	Effect policy.Effect `yaml:"effect" need:"required" oneof:"allow deny approve"`

	// The name of the rule that decides.
	Rule string `yaml:"rule" example:"production"`

	// What the reason has in it.
	Reason string `yaml:"reason" example:"no rule matches"`

	// What still lacks, in any order. With approved_by, nothing must lack that is
	// not here; without, this is not looked at if it is left out.
	Missing []CaseMissing `yaml:"missing" range:"0..16" example:"[{from: [release], count: 1}]"`
}

// CaseMissing is what a requirement lacks.
type CaseMissing struct {
	// The groups of the requirement.
	From []string `yaml:"from" need:"required" range:"1..20"`

	// How many more of them must agree.
	Count int `yaml:"count" need:"required" range:"1..100"`
}

// defaultCaseUID is the number of a requester that has none: an ordinary user.
const defaultCaseUID = 1000

// LoadCases reads all files with cases below a folder. An error is an [Errors].
func LoadCases(dir string) ([]Case, error) {
	var cases []Case
	var errs Errors
	fault := func(path string, err error) { errs = append(errs, &Error{File: path, Msg: err.Error()}) }
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			fault(path, err)
			return nil
		}
		if ext := filepath.Ext(path); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		data, err := readCases(path)
		if err != nil {
			fault(path, err)
			return nil
		}
		r := newReport(path)
		cases = append(cases, parseCases(r, data)...)
		errs = append(errs, r.sorted().errs...)
		return nil
	})
	if err != nil {
		fault(dir, err)
	}
	if len(errs) == 0 && len(cases) == 0 {
		fault(dir, errors.New("found no file that ends in .yaml, want at least one with cases"))
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	return cases, nil
}

func readCases(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFileSize {
		return nil, fmt.Errorf("found %d bytes of mode %s, want a file of at most %d", st.Size(), st.Mode(), maxFileSize)
	}
	return os.ReadFile(path)
}

// parseCases reads one file, and returns nothing after reporting what is wrong.
func parseCases(r *report, data []byte) []Case {
	var file CaseFile
	if !decode(r, data, &file) {
		return nil
	}
	seen := make(map[string]int)
	for i := range file.Cases {
		c := &file.Cases[i]
		field := fmt.Sprintf("cases[%d]", i)
		if first, dup := seen[c.Name]; dup && r.ok(field+".name") {
			r.errorf(field+".name", "found %s, which cases[%d] has already; names are unique", quote(c.Name), first)
		}
		seen[c.Name] = i
		c.File, c.Line = r.file, r.find(field).line
		if c.Time == "" {
			c.Time = file.Time
		}
		if c.Time == "" && r.ok(field+".time") && r.ok("time") {
			r.errorf(field+".time", "missing, want it here or once for the whole file")
		}
		c.at = parseTime(c.Time)
		if c.Expect.Effect != policy.Approve && len(c.Expect.Missing) > 0 {
			r.errorf(field+".expect.missing", "found what lacks for effect %q, want it for %q only", c.Expect.Effect, policy.Approve)
		}
	}
	if len(r.errs) > 0 {
		return nil
	}
	return file.Cases
}

// parseTime reads a time whose form was checked, or returns the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// PolicyRequest is the request of the case as package policy knows it.
func (c *Case) PolicyRequest() policy.Request {
	q := policy.Request{
		App: c.Request.App, Channel: c.Request.Channel, Version: c.Request.Version,
		Digest: c.Request.Digest, Files: c.Request.Files, Key: c.Request.Key, Also: slices.Clone(c.Request.Also),
		Labels: c.Request.Labels, BreakGlass: c.Request.BreakGlass, Time: c.at,
		Requester: policy.Identity{
			UID: uint32(c.Requester.UID), GID: uint32(c.Requester.UID), User: c.Requester.User,
			Groups: slices.Clone(c.Requester.Groups), Unit: c.Requester.Unit,
		},
	}
	if t := c.Requester.Token; t.Issuer != "" {
		q.Requester.Token = &policy.Token{Issuer: t.Issuer, Subject: t.Subject, Expires: c.at.Add(time.Minute), Claims: t.Claims}
	}
	if c.Last.Version != "" {
		q.Last = policy.Release{Request: "last", Version: c.Last.Version, Digest: c.Last.Digest, Time: c.at.Add(-time.Hour)}
		if c.Last.Time != "" {
			q.Last.Time = parseTime(c.Last.Time)
		}
	}
	return q
}
