package signer

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// This file is about the keys of a request: the one that it is for, and those that
// sign the same beside it. No key of a request is less of one than another: what
// would stop a request for any of them alone stops it. All that is done with the keys
// goes through slices that have every one, in the order of the submission.

// complete fills in what a submission leaves out, so that what means the same is the
// same submission.
func (s Submission) complete() Submission {
	if len(s.Labels) == 0 {
		s.Labels = nil
	}
	if len(s.Also) == 0 {
		s.Also = nil
	}
	s.Also = slices.Clone(s.Also) // it is the caller's
	for i := range s.Also {
		if s.Also[i].Format == "" {
			s.Also[i].Format = s.Format
		}
	}
	return s
}

// findAll returns the keys that a submission is for, with nil for one that does not
// sign for its app. Two names of one key are refused: devices with that key can use
// one result only.
func (r *keyring) findAll(sub *Submission) ([]*managedKey, error) {
	keys := []*managedKey{r.find(sub.AppID, sub.Key)}
	for i, also := range sub.Also {
		k := r.find(sub.AppID, also.Key)
		for _, other := range keys {
			if k != nil && other != nil && k.Pin.Equal(other.Pin) {
				return nil, invalid(fmt.Sprintf("/also/%d/key", i), "found %q, which is the same key as %q: want each key once", k.Name, other.Name)
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// noKey says which key does not sign for the app, if there is one.
func (q *asked) noKey() error {
	for i, k := range q.keys {
		name := q.sub.Key
		if i > 0 {
			name = q.sub.Also[i-1].Key
		}
		switch {
		case k != nil:
		case name != "":
			return &Error{Kind: KindNoKey, Detail: fmt.Sprintf("key %q does not sign for app %q, or there is no such key", name, q.sub.AppID)}
		default:
			return &Error{Kind: KindNoKey, Detail: fmt.Sprintf("no key signs for app %q; add it to the apps of a key in the configuration", q.sub.AppID)}
		}
	}
	return nil
}

// setKeys writes into a record which keys it is about.
func (q *asked) setKeys(r *Request) {
	for i, k := range q.keys {
		var ref KeyRef
		if i > 0 {
			ref.Key = q.sub.Also[i-1].Key
		}
		if k != nil {
			ref = KeyRef{k.Name, k.Pin.KeyID(), k.Pin.Fingerprint()}
		}
		if i == 0 {
			r.Key, r.KeyID, r.KeyFingerprint = ref.Key, ref.KeyID, ref.KeyFingerprint
			continue
		}
		r.Also = append(r.Also, ref)
	}
}

// sameKeys reports whether an earlier record is about the keys that are there now.
func (q *asked) sameKeys(r *Request) bool {
	return slices.EqualFunc(q.keys, r.keys(), func(k *managedKey, ref KeyRef) bool {
		return k != nil && k.Pin.Fingerprint() == ref.KeyFingerprint
	})
}

// usable returns nil if each of the keys may be used now. It asks them side by side:
// each has its own time to answer.
func usable(ctx context.Context, keys []*managedKey) error {
	errs := make([]error, len(keys))
	var asked sync.WaitGroup
	for i, k := range keys {
		asked.Go(func() { errs[i] = k.usable(ctx) })
	}
	asked.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// places are a request's places in the queues of all its keys.
type places []*place

// reserve takes a place in each queue, or none.
func reserve(keys []*managedKey, uid uint32, payloads int) (places, error) {
	var out places
	for _, k := range keys {
		p, err := k.reserve(uid, payloads)
		if err != nil {
			out.leave()
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// rejoin takes the places of a request that was accepted before a restart, or by
// people.
func rejoin(keys []*managedKey, r *Request) places {
	var out places
	for _, k := range keys {
		out = append(out, k.rejoin(r.Requester.UID, r.FileCount+2))
	}
	return out
}

// leave gives the places back that were not given back before.
func (ps places) leave() {
	for _, p := range ps {
		p.leave()
	}
}

// blocked returns why one of the keys must not be used, or nil.
func (ps places) blocked() error {
	for _, p := range ps {
		if err := p.key.blocked(); err != nil {
			return err
		}
	}
	return nil
}

// keepers returns the keys that an earlier request was authorized for. gone is one
// that does not sign for the request's app any more: there are none then.
func (s *Signer) keepers(r *Request) (keys []*managedKey, gone *KeyRef) {
	for _, ref := range r.keys() {
		k := s.keeper(r.Submission.AppID, ref)
		if k == nil {
			return nil, &ref
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// keeper returns the key that an earlier request was authorized for, or nil if it
// does not sign for the request's app any more. It may have another name by now.
func (s *Signer) keeper(app string, ref KeyRef) *managedKey {
	keeps := func(k *managedKey) bool {
		return k.Pin.Fingerprint() == ref.KeyFingerprint && slices.Contains(k.Apps, app)
	}
	if k := s.keys.byName[ref.Key]; k != nil && keeps(k) {
		return k // also if it is disabled: no other name gets around that
	}
	for _, k := range s.keys.sorted() {
		if keeps(k) {
			return k
		}
	}
	return nil
}

// lost says that a key of the request is no longer its app's.
func (r *Request) lost(gone *KeyRef) string {
	return fmt.Sprintf("its key %s (%s) no longer signs for %s", gone.Key, gone.KeyFingerprint, r.Submission.AppID)
}
