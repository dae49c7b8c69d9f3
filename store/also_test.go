package store

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// ofThreeKeys is a request with two files that three keys have signed.
func ofThreeKeys() *signer.Request {
	r := request("several")
	r.Submission.Files = []signer.File{{Name: "a.js", Digest: capgo.Digest{4}}, {Name: "b.js", Digest: capgo.Digest{5}}}
	r.FileCount = 2
	r.Submission.Also = []signer.AlsoKey{{Key: "new", Format: capgo.FormatHex}, {Key: "newest", Format: capgo.FormatLegacy}}
	r.Also = []signer.KeyRef{{Key: "new", KeyID: "id", KeyFingerprint: "fp"}, {Key: "newest"}}
	by := func(n byte) signer.KeyResult {
		return signer.KeyResult{
			Checksum: capgo.Signature{n, 1}, SessionKey: capgo.WrappedKey{IV: capgo.IV{n}, Wrapped: capgo.Signature{n, 2}},
			Files: []capgo.Signature{{n, 3}, {n, 4}}, Custody: signer.Custody{Level: signer.NonExtractable, Backend: string('a' + rune(n))},
		}
	}
	r.Result = &signer.Result{KeyResult: by(1), Also: []signer.KeyResult{by(2), by(3)}}
	return r
}

func TestResultsOfSeveralKeysAreKept(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	r := ofThreeKeys()
	for _, fn := range []func(signer.Tx) error{insert(r), func(tx signer.Tx) error { return tx.Move(r, signer.Authorized) }} {
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir))
	got, err := s.Request(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ofThreeKeys().Result, r.Result); diff != "" {
		t.Errorf("the caller's record was changed: %s", diff)
	}
	list, err := s.Requests(t.Context(), signer.Filter{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d requests, %v", len(list), err)
	}
	for _, k := range keyResults(list[0].Result) {
		if k.Files != nil {
			t.Error("a list has the files' signatures")
		}
	}
	if list[0].Result.Also[1].Checksum != r.Result.Also[1].Checksum || list[0].Also[0] != r.Also[0] {
		t.Errorf("a list has %+v", list[0])
	}
}

// Signatures that are not of each file by each key are not handed to any of them.
func TestSignaturesThatDoNotFitTheKeysAreRefused(t *testing.T) {
	r := ofThreeKeys()
	record, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	files, err := encodeFiles(r.Submission.Files)
	if err != nil {
		t.Fatal(err)
	}
	all := encodeSignatures(r)
	if len(all) != 6*capgo.SignatureSize {
		t.Fatalf("%d bytes of signatures, want those of 2 files by 3 keys", len(all))
	}
	for name, signatures := range map[string][]byte{
		"of the first key only": all[:2*capgo.SignatureSize],
		"one missing":           all[:5*capgo.SignatureSize],
		"one byte missing":      all[:len(all)-1],
		"one more":              append(all[:len(all):len(all)], all[:capgo.SignatureSize]...),
	} {
		stored, err := scanRequest(row{record})
		if err != nil {
			t.Fatal(err)
		}
		if err := addFiles(stored, files, signatures); !errors.Is(err, signer.ErrStoreBroken) {
			t.Errorf("%s: %v, want it refused as damaged", name, err)
		}
	}
}

// row is a row of the database as it is read.
type row struct{ record []byte }

func (r row) Scan(dest ...any) error {
	*dest[0].(*int64), *dest[1].(*[]byte) = 1, r.record
	return nil
}
