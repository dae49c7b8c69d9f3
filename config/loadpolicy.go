package config

import (
	"errors"
	"maps"
	"path/filepath"
	"strings"

	"github.com/bundlesign/bundlesign/policy"
)

// LoadPolicy reads the policy at path and the allowed_signers file that it names,
// without any configuration of the daemon, so that names of token issuers are
// not looked for. An error is an [Errors]; then there is no policy.
func LoadPolicy(path string, opts Options) (*policy.Policy, []Warning, error) {
	real, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, Errors{{File: path, Msg: err.Error()}}
	}
	r := newReport(path)
	l := loader{report: r, trust: opts.trust(), told: make(map[string]bool)}
	var p *policy.Policy
	if data := l.read("", real, maxFileSize, false); data != nil {
		p, _ = l.parsePolicy(real, data)
	}
	if err := r.sorted().errs.err(); err != nil {
		return nil, r.warnings, err
	}
	return p, r.warnings, nil
}

// LoadPolicyOf is [LoadPolicy] for the policy that the config.yaml at path names,
// with its token issuers. Nothing else that it names is read.
func LoadPolicyOf(path string, opts Options) (*policy.Policy, []Warning, error) {
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, Errors{{File: path, Msg: err.Error()}}
	}
	l := loader{report: newReport(path), trust: opts.trust(), told: make(map[string]bool)}
	c := Default()
	data := l.read("", path, maxFileSize, false)
	if data == nil || !parse(l.report, data, c, base, opts.CheckURI) {
		return nil, nil, l.sorted().errs
	}
	rules := l.loadPolicy(c, opts.ThisMachine)
	if err := append(l.sorted().errs, rules.errs...).err(); err != nil {
		return nil, rules.warnings, err
	}
	return c.Policy, rules.warnings, nil
}

// loadPolicy sets c's policy and returns the report of its file. With names, the
// users and groups in it are looked for on this machine.
func (l *loader) loadPolicy(c *Config, names bool) *report {
	r := newReport(l.besides(c.PolicyPath))
	data := l.read("policy", c.PolicyPath, maxFileSize, false)
	if data == nil {
		return r
	}
	inner := loader{report: r, trust: l.trust, told: l.told}
	p, doc := inner.parsePolicy(c.PolicyPath, data)
	if p == nil {
		return r.sorted()
	}
	if !l.anyFaulty("token_issuers") {
		checkPolicyIssuers(r, doc, c.TokenIssuers)
	}
	c.Policy, c.PolicyRules = p, len(doc.Rules)
	if names {
		warnUnknownNames(r, doc)
	}
	return r.sorted()
}

// parsePolicy is [parsePolicy] for the file at path, with the allowed_signers
// file read as that may be.
func (l *loader) parsePolicy(path string, data []byte) (*policy.Policy, *policy.Document) {
	return parsePolicy(l.report, data, func(signers string) []byte {
		return l.read(fieldAllowedSigners, absolute(signers, filepath.Dir(path)), maxFileSize, false)
	})
}

// fieldAllowedSigners names the file with the keys of people.
const fieldAllowedSigners = "people.allowed_signers"

// parsePolicy reads policy.yaml and returns the policy and what it says, or nil
// after reporting what is wrong. ReadSigners returns what a file named in it
// holds, or reports why not and returns nil.
func parsePolicy(r *report, data []byte, readSigners func(path string) []byte) (*policy.Policy, *policy.Document) {
	var file PolicyFile
	if !decode(r, data, &file) {
		return nil, nil
	}
	checkRules(r, file.Rules)
	var signers []byte
	if name := file.People.AllowedSigners; name != "" && r.ok(fieldAllowedSigners) {
		signers = readSigners(name)
	}
	if !r.ok(fieldAllowedSigners) {
		r.faulty["people"] = true // that nobody is there would be a consequence
	}
	doc := file.document(signers)
	p, err := policy.Compile(doc)
	faults := policyFaults{report: r, source: data, file: &file, form: maps.Clone(r.faulty)}
	faults.add(err)
	if err != nil && len(r.errs) == 0 {
		r.errorf("", "%v", err)
	}
	if len(r.errs) > 0 {
		return nil, nil
	}
	warnPeople(r, p, &doc, warnShadowed(r, p, doc.Rules))
	return p, &doc
}

// policyFaults reports what package policy found wrong with a document, at the
// place in the files that it was made from.
type policyFaults struct {
	*report
	source []byte
	file   *PolicyFile
	form   map[string]bool // fields that are wrong in form
}

// add takes apart what [policy.Compile] joined.
func (f *policyFaults) add(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			f.add(err)
		}
		return
	}
	var fault *policy.FieldError
	if errors.As(err, &fault) {
		f.one(fault)
	}
}

func (f *policyFaults) one(fault *policy.FieldError) {
	field := fieldInFile(fault.Field)
	switch {
	case f.known(field):
		// The field, or one around it, is not what it should be already.
	case field == fieldAllowedSigners && fault.Line > 0:
		f.errs = append(f.errs, &Error{File: f.signersFile(), Line: fault.Line, Column: max(fault.Column, 1), Msg: fault.Err.Error()})
	case fault.Line > 0:
		text, ok := f.expression(field)
		if !ok {
			f.errorf(field, "%v", fault.Err)
			return
		}
		at := placeWithin(f.source, f.find(field), text, place{fault.Line, max(fault.Column, 1)})
		f.errorAt(at, field, "%v", fault.Err)
	default:
		f.errorf(field, "%v", fault.Err)
	}
}

// known reports whether a field, or one that holds it, was reported as wrong in
// form: what it means is then a consequence.
func (f *policyFaults) known(field string) bool {
	for field != "" {
		if f.form[field] {
			return true
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return false
}

// expression returns the text of the field of a rule that is an expression.
func (f *policyFaults) expression(field string) (string, bool) {
	for i := range f.file.Rules {
		if field == ruleField(i, "when") {
			return f.file.Rules[i].When, true
		}
	}
	return "", false
}

// signersFile is the allowed_signers file as the user would name it.
func (f *policyFaults) signersFile() string {
	return absolute(f.file.People.AllowedSigners, filepath.Dir(f.report.file))
}

// fieldInFile returns the name in policy.yaml of a field of a [policy.Document].
func fieldInFile(field string) string {
	for _, top := range []string{"allowed_signers", "groups", "accounts"} {
		if field == top || strings.HasPrefix(field, top+".") || strings.HasPrefix(field, top+"[") {
			return "people." + field
		}
	}
	return field
}
