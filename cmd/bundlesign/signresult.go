package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/delta"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// signResult is what sign --json prints: the three members of the official CLI,
// in its order, then ours.
type signResult struct {
	keyResult
	RequestID string        `json:"requestId"`
	Log       *wire.Receipt `json:"log"`
	AppID     string        `json:"appId,omitempty"`
	Channel   string        `json:"channel,omitempty"`
	Version   string        `json:"version,omitempty"`
	Digest    string        `json:"digest,omitempty"` // SHA-256 of the plain zip
	// Also are the results of the other keys, of a request that was signed with several.
	Also []keyResult `json:"also,omitempty"`

	size int64 // of the plain zip, in bytes
}

// keyResult is what one key gave, and where it was written.
type keyResult struct {
	Checksum     string       `json:"checksum"`
	Filename     string       `json:"filename,omitempty"`
	IVSessionKey string       `json:"ivSessionKey"`
	KeyID        string       `json:"keyId"`
	Key          string       `json:"key,omitempty"` // its name
	Delta        *deltaResult `json:"delta,omitempty"`
	UpdateJSON   string       `json:"updateJson,omitempty"` // name of the file
	URL          string       `json:"url,omitempty"`        // of the encrypted zip
	// UploadCommand has the official CLI register the zip at URL.
	UploadCommand string `json:"uploadCommand,omitempty"`
}

// deltaResult is a delta update that was written.
type deltaResult struct {
	Folder string `json:"folder"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"` // encrypted

	manifest []capgo.ManifestEntry
}

// keyAnswer is what one key gave, checked.
type keyAnswer struct {
	name     string
	key      *capgo.PublicKey
	format   capgo.ChecksumFormat
	checksum string
	wrapped  capgo.WrappedKey
	files    []capgo.Signature
}

// write makes the files of the result: all of them, or it fails, and says so.
func (s *signing) write(ctx context.Context, answer *wire.Signature, signed *client.Signed) (*signResult, error) {
	format, err := capgo.ParseChecksumFormat(s.sub.ChecksumFormat)
	if err != nil {
		return nil, err
	}
	answers := []keyAnswer{{answer.Key, signed.PublicKey, format, signed.Checksum, signed.Wrapped, signed.Files}}
	for i, by := range signed.Also {
		also := keyAnswer{s.also[i].name, by.PublicKey, format, by.Checksum, by.Wrapped, by.Files}
		if f := s.also[i].format; f != "" {
			also.format = f
		}
		answers = append(answers, also)
	}
	if len(answers) != len(s.out.places) {
		return nil, fmt.Errorf("found the results of %d keys, want %d", len(answers), len(s.out.places))
	}
	out := &signResult{
		RequestID: answer.ID, Log: answer.Log, AppID: answer.AppID, Channel: answer.Channel,
		Version: answer.Version, Digest: answer.Digest,
	}
	st := &stage{results: make([]keyResult, len(answers))}
	defer st.discard()
	if err := s.out.makeFolders(st); err != nil {
		return nil, err
	}
	if err := s.fill(ctx, st, answers); err != nil {
		return nil, err
	}
	for i := range st.results {
		if err := s.addUpdate(st, i, answer); err != nil {
			return nil, err
		}
	}
	if err := st.commit(s.out.folder); err != nil {
		return nil, err
	}
	out.size, out.keyResult, out.Also = st.size, st.results[0], st.results[1:]
	return out, nil
}

// fill encrypts the zip and the files with the session key of each answer.
func (s *signing) fill(ctx context.Context, st *stage, answers []keyAnswer) error {
	var targets []delta.Target
	for i, k := range answers {
		aesKey, err := k.key.Unwrap(k.wrapped)
		if err != nil {
			return err
		}
		defer aesKey.Forget()
		p := s.out.places[i]
		st.results[i] = keyResult{
			Checksum: k.checksum, Filename: p.zip, IVSessionKey: k.wrapped.String(),
			KeyID: k.key.KeyID(), Key: k.name, URL: p.zipURL,
		}
		if p.zip != "" {
			s.progress.begin("encrypting", s.in.size())
			file, size, err := s.in.plain.encryptTo(ctx, p.zip, s.in.digest, aesKey, k.wrapped.IV, s.progress.add)
			if err != nil {
				return err
			}
			st.size = size
			st.add(p.zip, file)
		}
		if p.delta != "" {
			targets = append(targets, delta.Target{Dir: p.delta, Key: aesKey, IV: k.wrapped.IV, Hashes: hashes(k), BaseURL: p.baseURL})
		}
	}
	return s.fillDelta(ctx, st, targets)
}

// hashes are the signatures of the files, in the form of the key.
func hashes(k keyAnswer) []string {
	out := make([]string, len(k.files))
	for i := range k.files {
		out[i] = k.files[i].Checksum(k.format)
	}
	return out
}

func (s *signing) fillDelta(ctx context.Context, st *stage, targets []delta.Target) (err error) {
	if len(targets) == 0 {
		return nil
	}
	var total int64
	for _, f := range s.in.plan.Files {
		total += f.Size
	}
	s.progress.begin("compressing and encrypting files", total)
	if st.delta, err = s.in.plan.Prepare(ctx, targets, delta.Options{NoBrotli: s.f.noBrotli}, s.progress.add); err != nil {
		return deltaError(err)
	}
	for i, w := range st.delta.Updates {
		st.results[i].Delta = &deltaResult{Folder: w.Dir, Files: len(w.Manifest), Bytes: w.Bytes, manifest: w.Manifest}
	}
	return nil
}

// addUpdate makes update.json, and says how the official CLI registers the zip.
func (s *signing) addUpdate(st *stage, i int, answer *wire.Signature) error {
	p, r := s.out.places[i], &st.results[i]
	if p.update == "" {
		return nil
	}
	update := &capgo.Update{Version: answer.Version, URL: p.zipURL, SessionKey: r.IVSessionKey, Checksum: r.Checksum}
	if r.Delta != nil {
		update.Manifest = r.Delta.manifest
	}
	data, err := publish.UpdateJSON(update)
	if err != nil {
		return &inputError{err: err}
	}
	if err := st.write(p.update, data); err != nil {
		return err
	}
	r.UpdateJSON = p.update
	if p.zipURL != "" {
		r.UploadCommand = publish.UploadCommand(answer.AppID, answer.Channel, answer.Version, p.zipURL, r.IVSessionKey, r.Checksum)
	}
	return nil
}

// report prints the result.
func (s *signing) report(answer *wire.Signature, signed *client.Signed, r *signResult) (err error) {
	if s.f.json {
		err = s.printJSON(r)
	} else {
		err = s.print(describeSigned(answer, signed, r))
	}
	var undelivered *undeliveredError
	if errors.As(err, &undelivered) {
		undelivered.written = r.Filename
		if r.Filename == "" && r.Delta != nil {
			undelivered.written = r.Delta.Folder
		}
	}
	return err
}

// describeSigned is the result for people.
func describeSigned(answer *wire.Signature, signed *client.Signed, r *signResult) string {
	var t table
	t.Row("signed", fmt.Sprintf("%s %s for channel %s", answer.AppID, answer.Version, answer.Channel))
	t.Row("request", fmt.Sprintf("%s, allowed by rule %q", answer.ID, answer.Rule))
	if c := answer.Custody; c != nil {
		t.Row("custody", fmt.Sprintf("%s (%s)", c.Level, c.Backend))
	}
	t.Row("log", fmt.Sprintf("entry %d", signed.Receipt.Index))
	text := t.String() + describeKeyResult(r, &r.keyResult, signed.PublicKey)
	for i := range r.Also {
		text += "\n" + describeKeyResult(r, &r.Also[i], nil)
	}
	return text
}

func describeKeyResult(r *signResult, k *keyResult, public *capgo.PublicKey) string {
	var t table
	if public != nil {
		t.Row("key", fmt.Sprintf("%s, %s", k.Key, public.Fingerprint()))
	} else {
		t.Row("key", fmt.Sprintf("%s, %s", k.Key, k.KeyID))
	}
	if k.Filename != "" {
		t.Row("written", fmt.Sprintf("%s (%d bytes before encryption)", k.Filename, r.size))
	}
	if d := k.Delta; d != nil {
		t.Row("written", fmt.Sprintf("%s (%d files, %d bytes)", d.Folder, d.Files, d.Bytes))
	}
	if k.UpdateJSON != "" {
		t.Row("written", k.UpdateJSON)
	}
	text := t.String() + "\nfor the update server:\n" + updateAnswer(r.Version, k.Checksum, k.IVSessionKey)
	if k.UploadCommand != "" {
		text += "\nor, with the official CLI:\n" + printableLine(k.UploadCommand)
	}
	return text
}

// updateAnswer is the members of the self-hosted update answer that signing
// gives.
func updateAnswer(version, checksum, sessionKey string) string {
	var t table
	t.Row("version", version)
	t.Row("checksum", checksum)
	t.Row("session_key", sessionKey)
	return t.String()
}
