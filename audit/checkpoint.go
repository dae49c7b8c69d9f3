package audit

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// SignCheckpoint returns the C2SP tlog-checkpoint of tree as a signed note. The
// signer's name is the origin of the log.
func SignCheckpoint(tree tlog.Tree, signer note.Signer) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: checkpointText(signer.Name(), tree)}, signer)
	if err != nil {
		return nil, fmt.Errorf("audit: signing a checkpoint: %w", err)
	}
	return msg, nil
}

// CheckpointText is what the log's private key signs, and all that it signs: the
// text of a checkpoint, which only this package makes. The zero value is none.
type CheckpointText struct{ text string }

// NewCheckpointText returns the text of the checkpoint of tree in the log that is
// called origin.
func NewCheckpointText(origin string, tree tlog.Tree) (CheckpointText, error) {
	return ParseCheckpointText([]byte(checkpointText(origin, tree)))
}

// ParseCheckpointText reads a text of at most [MaxCheckpointText] bytes.
func ParseCheckpointText(text []byte) (CheckpointText, error) {
	if len(text) > MaxCheckpointText {
		return CheckpointText{}, fmt.Errorf("checkpoint: found a text of %d bytes, want at most %d", len(text), MaxCheckpointText)
	}
	if _, _, err := parseCheckpointText(string(text)); err != nil {
		return CheckpointText{}, err
	}
	return CheckpointText{string(text)}, nil
}

// MaxCheckpointText is the largest text of a checkpoint in bytes. The origin is
// far shorter than that.
const MaxCheckpointText = 1024

// Bytes returns the bytes to sign with Ed25519 (RFC 8032), or nil for the zero
// value.
func (t CheckpointText) Bytes() []byte {
	if t.text == "" {
		return nil
	}
	return []byte(t.text)
}

func checkpointText(origin string, tree tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)
}

// OpenCheckpoint checks the log's signature on a checkpoint, and that its
// origin is the log's, and returns the tree it speaks of.
func OpenCheckpoint(msg []byte, verifier note.Verifier) (tlog.Tree, error) {
	n, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: not signed by log %q with the expected key: %w", verifier.Name(), err)
	}
	origin, tree, err := parseCheckpointText(n.Text)
	if err != nil {
		return tlog.Tree{}, err
	}
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("checkpoint: found origin %q, want %q", origin, verifier.Name())
	}
	return tree, nil
}

// ReadCheckpoint reads a checkpoint without checking who signed it: enough to
// check that proofs are consistent with it, not to believe it.
func ReadCheckpoint(msg []byte) (origin string, tree tlog.Tree, err error) {
	text, _, ok := strings.Cut(string(msg), "\n\n")
	if !ok {
		return "", tlog.Tree{}, fmt.Errorf("checkpoint: found no blank line between text and signatures")
	}
	return parseCheckpointText(text + "\n")
}

// parseCheckpointText reads "<origin>\n<size>\n<root>\n". Extension lines are
// refused: this log writes none.
func parseCheckpointText(text string) (string, tlog.Tree, error) {
	origin, _, ok := strings.Cut(text, "\n")
	if !ok || origin == "" {
		return "", tlog.Tree{}, fmt.Errorf("checkpoint: found no origin line")
	}
	// tlog.ParseTree insists on its own first line and on the canonical form
	// of the other two.
	const tlogHeader = "go.sum database tree\n"
	tree, err := tlog.ParseTree([]byte(tlogHeader + strings.TrimPrefix(text, origin+"\n")))
	if err != nil || text != checkpointText(origin, tree) {
		return "", tlog.Tree{}, fmt.Errorf("checkpoint: want the three lines origin, size and base64 root hash, and no others")
	}
	return origin, tree, nil
}
