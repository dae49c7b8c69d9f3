package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxName is the longest name of a person or a group in bytes.
const maxName = 128

// People are those who may approve: their SSH keys, groups and accounts. It is
// immutable; its zero value has nobody in it.
type People struct {
	keys     map[string]*allowedKey     // by the key's wire form
	persons  map[string]*person         // by name
	groups   map[string]map[string]bool // names of the members, by the group's name
	accounts accounts
}

// person is what the keys of somebody can do, whatever the time.
type person struct {
	approves bool // one may be used for approvals
	verifies bool // and one of those can verify its user
}

// NewPeople reads an allowed_signers file (ssh-keygen(1), "ALLOWED SIGNERS") and
// ties groups and accounts to the people in it. An error joins one [*FieldError]
// for each fault, with fields such as "allowed_signers", "groups.security[0]" and
// "accounts.alice.tokens[1].value".
//
// A principal is one person's name: printable ASCII without blanks, at most 128
// bytes. Refused are, besides what is malformed: a key of two people, patterns,
// certificates, DSA keys, RSA keys below 2048 bits, groups without members, members
// that are not in the file, and a Unix user or token account of two people.
func NewPeople(allowedSigners []byte, groups map[string][]string, accounts map[string]Accounts) (*People, error) {
	p := &People{keys: make(map[string]*allowedKey), persons: make(map[string]*person), groups: make(map[string]map[string]bool)}
	keys, faults := parseAllowedSigners(allowedSigners)
	for _, k := range keys {
		p.keys[string(k.key.Marshal())] = k
		who := p.persons[k.person]
		if who == nil {
			who = new(person)
			p.persons[k.person] = who
		}
		if k.namespaces == nil || k.namespaces.match(ApprovalNamespace) || k.namespaces.match(ThawNamespace) {
			who.approves = true
			who.verifies = who.verifies || isSecurityKey(k.key.Type())
		}
	}
	// Somebody whose line is wrong is not to be called unknown as well.
	complete := len(faults) == 0
	faults = append(faults, p.addGroups(groups, complete)...)
	faults = append(faults, p.addAccounts(accounts, complete)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

func (p *People) addGroups(groups map[string][]string, complete bool) (faults []error) {
	bad := func(field string, err error) { faults = append(faults, &FieldError{Field: field, Err: err}) }
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		field := "groups." + group
		if err := checkName("group", group); err != nil {
			bad("groups", err)
			continue
		}
		if len(groups[group]) == 0 {
			bad(field, errors.New("found no members, want at least one person"))
		}
		members := make(map[string]bool)
		for i, name := range groups[group] {
			at := fmt.Sprintf("%s[%d]", field, i)
			switch who := p.persons[name]; {
			case members[name]:
				bad(at, fmt.Errorf("found %s twice", quote(name)))
			case who == nil && complete:
				bad(at, p.unknown(name))
			case who != nil && !who.approves && complete:
				bad(at, fmt.Errorf("no key of %s may be used in the namespace %q; add it to namespaces= in allowed_signers", name, ApprovalNamespace))
			}
			members[name] = true
		}
		p.groups[group] = members
	}
	return faults
}

func (p *People) unknown(name string) error {
	for known := range p.persons {
		if strings.EqualFold(known, name) {
			return fmt.Errorf("found %s, want %q, as allowed_signers has it", quote(name), known)
		}
	}
	return fmt.Errorf("found %s, who has no key in allowed_signers", quote(name))
}

// checkPersonName accepts what is one person's name and not a pattern for several.
func checkPersonName(name string) error {
	if strings.ContainsAny(name, "*?!") {
		return fmt.Errorf("found the pattern %s, want the name of one person", quote(name))
	}
	return checkName("person", name)
}

// checkName accepts printable ASCII without blanks, commas, quotes, backslashes and
// what patterns are made of: such a name looks the same wherever it stands, and
// two that look the same are the same.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("found no name of a %s", what)
	}
	if len(name) > maxName {
		return fmt.Errorf("found %s, a name of %d bytes, want at most %d", quote(name), len(name), maxName)
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || strings.ContainsRune(`*?!,"\`, c) {
			return fmt.Errorf("found the name %s, in which %+q cannot stand; want ASCII without blanks and without any of * ? ! , \" \\", quote(name), c)
		}
	}
	return nil
}

// Verify checks an armored SSHSIG signature over a statement for a namespace, made
// with a key that was valid at that time, and says whose it is. The signature in
// what it returns is byte for byte what ssh-keygen -Y sign would have written.
//
// ssh-keygen -Y verify accepts what Verify returns, with the same allowed_signers
// file. Verify is stricter in that it wants a FIDO2 key to be touched for every
// signature, and nothing behind the signature's last line.
func (p *People) Verify(namespace string, statement []byte, sshsig string, at time.Time) (*Approval, error) {
	s, err := parseSSHSIG(sshsig)
	if err != nil {
		return nil, fmt.Errorf("SSH signature: %w", err)
	}
	if s.namespace != namespace {
		return nil, fmt.Errorf("SSH signature: found one in the namespace %s, want %q (ssh-keygen -Y sign -n %s)", quote(s.namespace), namespace, namespace)
	}
	key := p.keys[string(s.key)]
	if key == nil {
		return nil, unknownKey(s.key)
	}
	if err := key.permits(namespace, at); err != nil {
		return nil, fmt.Errorf("SSH signature: %w", err)
	}
	verified, err := s.verify(key.key, statement)
	if err != nil {
		return nil, fmt.Errorf("SSH signature by the key %s of %s: %w", ssh.FingerprintSHA256(key.key), key.person, err)
	}
	return &Approval{
		Person: key.person, Key: ssh.FingerprintSHA256(key.key), Time: at, UserVerified: verified, SSHSIG: s.armor(),
	}, nil
}

// unknownKey says why a key that is not in the list is nobody's.
func unknownKey(wire []byte) error {
	key, err := parseKey(wire)
	if err != nil {
		return fmt.Errorf("SSH signature: public key: %w", err)
	}
	return fmt.Errorf("SSH signature: the key %s (%s) belongs to nobody in allowed_signers", ssh.FingerprintSHA256(key), key.Type())
}

// Of returns the names of the people who an identity is, by their accounts, sorted;
// none if it is nobody's. Whoever might be somebody is: a claim of a token is
// compared without regard to case, and a list of values as each of them.
func (p *People) Of(id Identity) []string { return p.accounts.of(id) }

// Entitled reports whether somebody is in a group of any of the requirements, so
// that their approval would count for it, if it is made with the right kind of
// key and they are not the requester.
func (p *People) Entitled(reqs []Requirement, person string) bool {
	return slices.ContainsFunc(reqs, func(r Requirement) bool { return p.member(r.From, person) })
}

// member reports whether somebody is in one of the groups, and has a key still.
func (p *People) member(groups []string, name string) bool {
	return p.persons[name] != nil && slices.ContainsFunc(groups, func(g string) bool { return p.groups[g][name] })
}
