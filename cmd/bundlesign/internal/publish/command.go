package publish

import "strings"

// cli is how the official command line is run, of the project's own version if it
// has one, and else of the newest.
const cli = "npx @capgo/cli"

// UploadCommand is the command line that has the official CLI register an
// encrypted bundle that lies elsewhere, and put it into a channel. It is quoted
// for a POSIX shell. It holds nothing secret: the CLI takes its API key from the
// variable CAPGO_TOKEN or from what "npx @capgo/cli login" wrote.
//
// The values must have passed [CheckApp], [CheckChannel], [CheckVersion] and
// [CheckURL]: quoting keeps a shell from obeying them, not the CLI.
//
// The CLI does not tell Capgo the id of the key for a bundle of this kind (as of
// 8.68.1). An organization that demands one key can only be served by [Register].
func UploadCommand(app, channel, version, url, sessionKey, checksum string) string {
	return cli + " bundle upload " + quoteAll(
		app, "--external", url, "--iv-session-key", sessionKey, "--encrypted-checksum", checksum,
		"--bundle", version, "--channel", channel,
	)
}

// ChannelCommand is the command line that puts a registered bundle into a
// channel, with which phones begin to get it.
func ChannelCommand(app, channel, version string) string {
	return cli + " channel set " + quoteAll(channel, app, "--bundle", version)
}

func quoteAll(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote makes a word that a POSIX shell reads as s, whatever is in it (POSIX.1,
// Shell Command Language, 2.2.2: nothing is special between single quotes).
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+@%,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
