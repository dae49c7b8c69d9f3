package project

// kind is what a field takes.
type kind string

// The kinds of fields. A path is relative to the folder of the file.
const (
	kindText     kind = "text"
	kindPath     kind = "path"
	kindOutput   kind = "path within the project"
	kindToken    kind = "path, or `-` for stdin"
	kindSocket   kind = "path, or `ssh://` URL"
	kindForm     kind = "`hex` or `legacy`"
	kindDuration kind = "duration"
	kindTruth    kind = "`true` or `false`"
	kindList     kind = "list of texts"
	kindLabels   kind = "names with texts"
)

// field is one setting: its name in the file, what it takes, its place in Settings, and the manual, which is the
// table in docs/releases.md.
type field struct {
	name   string
	kind   kind
	manual string
	put    func(*Settings, value)
}

// fields returns all settings, in the order of the manual. Each can stand at the top of the file and in a profile.
func fields() []field {
	return []field{
		{"app", kindText, "app id, such as `com.acme.shop`", func(s *Settings, v value) { s.App = v.text }},
		{"bundle", kindPath, "the built web app: its folder, or a zip of it", func(s *Settings, v value) { s.Bundle = v.text }},
		{"version", kindText, "semantic version of the bundle; in quotes, if it looks like a number", func(s *Settings, v value) { s.Version = v.text }},
		{"channel", kindText, "the channel to sign for", func(s *Settings, v value) { s.Channel = v.text }},
		{"channels", kindList, "the only channels that may be signed for; the daemon's policy is what enforces such things", func(s *Settings, v value) { s.Channels = v.list }},
		{"socket", kindSocket, "the daemon to ask", func(s *Settings, v value) { s.Socket = v.text }},
		{"key", kindText, "name of the key to sign with, if the app has several", func(s *Settings, v value) { s.Key = v.text }},
		{"also_keys", kindList, "further keys to sign with while keys are rotated, each as `NAME=FILE` or `NAME=FILE,FORM`, with the PEM file of its public half", func(s *Settings, v value) { s.AlsoKeys = v.list }},
		{"public_key", kindPath, "PEM file with the public key that the app carries: the answer must be made with it", func(s *Settings, v value) { s.PublicKey = v.text }},
		{"delta", kindTruth, "make a delta update", func(s *Settings, v value) { s.Delta = v.on }},
		{"no_brotli", kindList, "patterns of the files of a delta update that are not compressed", func(s *Settings, v value) { s.NoBrotli = v.list }},
		{"output", kindOutput, "file to write or, with a slash at its end, the folder", func(s *Settings, v value) { s.Output = v.text }},
		{"url", kindText, "where phones will download the result", func(s *Settings, v value) { s.URL = v.text }},
		{"format", kindForm, "form of the checksum, if the installed updater should not decide it", func(s *Settings, v value) { s.Format = v.text }},
		{"labels", kindLabels, "for the record; those of a profile are added to those at the top", func(s *Settings, v value) { s.Labels = v.labels }},
		{"token_file", kindToken, "file with the OIDC ID token of the CI job", func(s *Settings, v value) { s.TokenFile = v.text }},
		{"log_key", kindText, "the audit log's verifier key", func(s *Settings, v value) { s.LogKey = v.text }},
		{"wait", kindDuration, "how long to wait for approvals, such as `30m`", func(s *Settings, v value) { s.Wait = v.text }},
	}
}

func fieldNamed(name string) (field, bool) {
	for _, f := range fields() {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}
