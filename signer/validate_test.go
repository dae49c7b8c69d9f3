package signer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func TestValidate(t *testing.T) {
	file := func(name string) func(*signer.Submission) {
		return func(s *signer.Submission) { s.Files = []signer.File{{Name: name, Digest: capgo.Digest{1}}} }
	}
	for name, c := range map[string]struct {
		change      func(*signer.Submission)
		field, want string // no field: valid
	}{
		"plain":            {func(*signer.Submission) {}, "", ""},
		"prerelease":       {func(s *signer.Submission) { s.Version = "1.0.0-rc.1+build.5" }, "", ""},
		"app with a slash": {func(s *signer.Submission) { s.AppID = "com/acme.shop" }, "/app_id", "found"},
		"app with control": {func(s *signer.Submission) { s.AppID = "com.acme\x00.shop" }, "/app_id", "found"},
		"app with newline": {func(s *signer.Submission) { s.AppID = "com.acme.shop\n" }, "/app_id", "found"},
		"app look-alike":   {func(s *signer.Submission) { s.AppID = "com.acme.shоp" }, "/app_id", "found"},
		"no app":           {func(s *signer.Submission) { s.AppID = "" }, "/app_id", "found nothing"},
		"no channel":       {func(s *signer.Submission) { s.Channel = "" }, "/channel", "found nothing"},
		"channel / slash":  {func(s *signer.Submission) { s.Channel = "a/b" }, "/channel", "slash"},
		"channel spaces":   {func(s *signer.Submission) { s.Channel = " a" }, "/channel", "white space"},
		"channel bidi":     {func(s *signer.Submission) { s.Channel = "a\u202eb" }, "/channel", "cannot be printed"},
		"channel long":     {func(s *signer.Submission) { s.Channel = strings.Repeat("x", 129) }, "/channel", "129 bytes"},
		"channel no utf8":  {func(s *signer.Submission) { s.Channel = "a\xff" }, "/channel", "UTF-8"},
		"version v":        {func(s *signer.Submission) { s.Version = "v1.0.0" }, "/version", "without the leading v"},
		"version 1.0":      {func(s *signer.Submission) { s.Version = "1.0" }, "/version", `found "1.0"`},
		"version 01":       {func(s *signer.Submission) { s.Version = "01.0.0" }, "/version", "semantic version"},
		"version empty":    {func(s *signer.Submission) { s.Version = "" }, "/version", "semantic version"},
		"version newline":  {func(s *signer.Submission) { s.Version = "1.0.0\n" }, "/version", "semantic version"},
		"version long":     {func(s *signer.Submission) { s.Version = "1.0.0-" + strings.Repeat("a", 200) }, "/version", "at most 128"},
		"digest zero":      {func(s *signer.Submission) { s.Digest = capgo.Digest{} }, "/digest", "zeros"},
		"format":           {func(s *signer.Submission) { s.Format = "crc32" }, "/checksum_format", `found "crc32"`},
		"label control":    {func(s *signer.Submission) { s.Labels = map[string]string{"a": "b\n"} }, "/labels", `value of "a"`},
		"label name":       {func(s *signer.Submission) { s.Labels = map[string]string{"a/b": "c"} }, "/labels", "slash"},
		"label long":       {func(s *signer.Submission) { s.Labels = map[string]string{"a": strings.Repeat("x", 257)} }, "/labels", "256"},
		"file":             {file("assets/app.js"), "", ""},
		"file ..":          {file("../app.js"), "/files/0/file_name", "relative path"},
		"file inner ..":    {file("a/../app.js"), "/files/0/file_name", "relative path"},
		"file absolute":    {file("/app.js"), "/files/0/file_name", "relative path"},
		"file backslash":   {file(`a\b.js`), "/files/0/file_name", "backslashes"},
		"file space":       {file("a b.js"), "/files/0/file_name", "spaces"},
		"file empty":       {file(""), "/files/0/file_name", "0 bytes"},
		"file twice": {func(s *signer.Submission) {
			s.Files = []signer.File{{Name: "a", Digest: capgo.Digest{1}}, {Name: "a", Digest: capgo.Digest{2}}}
		}, "/files/1/file_name", "already"},
		"file zero digest": {func(s *signer.Submission) { s.Files = []signer.File{{Name: "a"}} }, "/files/0/digest", "zeros"},
		"too many files":   {func(s *signer.Submission) { s.Files = make([]signer.File, 11) }, "/files", "at most 10"},
	} {
		t.Run(name, func(t *testing.T) {
			s := submission()
			c.change(&s)
			err := s.Validate(10)
			if c.field == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var e *signer.Error
			if !errors.As(err, &e) || e.Kind != signer.KindInvalid {
				t.Fatalf("got %v, want KindInvalid", err)
			}
			if e.Field != c.field || !strings.Contains(e.Detail, c.want) || !strings.HasPrefix(e.Detail, c.field[1:]+": ") {
				t.Errorf("got field %q, %q, want field %q and %q in it", e.Field, e.Detail, c.field, c.want)
			}
		})
	}
}
