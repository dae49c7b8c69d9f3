package client

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/bundlesign/bundlesign/api/wire"
)

// MaxEntries is the largest number of entries that the daemon gives at once.
const MaxEntries = 256

// Checkpoint returns the newest checkpoint of the audit log, a signed note
// (C2SP tlog-checkpoint). It is not checked: see audit.OpenCheckpoint.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.do(ctx, get("/v1/log/checkpoint", nil))
}

// LogEntry returns one entry with its proof, which is not checked.
func (c *Client) LogEntry(ctx context.Context, index int64) (*wire.LogEntry, error) {
	entry := new(wire.LogEntry)
	if err := c.getJSON(ctx, get("/v1/log/entries/"+strconv.FormatInt(index, 10), nil), entry); err != nil {
		return nil, err
	}
	if entry.Index != index {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found log entry %d, asked for %d", entry.Index, index)}
	}
	return entry, nil
}

// LogEntries returns the entries with indexes in [from, to), at most
// [MaxEntries] of them, each as the exact bytes that are hashed into the tree.
func (c *Client) LogEntries(ctx context.Context, from, to int64) ([][]byte, error) {
	if from < 0 || to < from || to-from > MaxEntries {
		return nil, fmt.Errorf("log entries: found the range from %d to %d, want 0 to %d entries from index 0 on", from, to, MaxEntries)
	}
	if from == to {
		return nil, nil
	}
	q := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
	var answer wire.LogEntries
	if err := c.getJSON(ctx, get("/v1/log/entries", q), &answer); err != nil {
		return nil, err
	}
	if answer.From != from || int64(len(answer.Entries)) != to-from {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found %d log entries from %d on, asked for %d from %d on", len(answer.Entries), answer.From, to-from, from)}
	}
	entries := make([][]byte, len(answer.Entries))
	for i, e := range answer.Entries {
		entries[i] = []byte(e)
	}
	return entries, nil
}

// InclusionProof returns the proof that entry index is in the tree of size
// entries (RFC 6962, section 2.1.1), unchecked.
func (c *Client) InclusionProof(ctx context.Context, index, size int64) (*wire.LogProof, error) {
	return c.logProof(ctx, "index", index, size)
}

// ConsistencyProof returns the proof that the tree of size entries is that of
// from entries with more after them (RFC 6962, section 2.1.2), unchecked.
func (c *Client) ConsistencyProof(ctx context.Context, from, size int64) (*wire.LogProof, error) {
	return c.logProof(ctx, "from", from, size)
}

func (c *Client) logProof(ctx context.Context, what string, n, size int64) (*wire.LogProof, error) {
	q := url.Values{what: {strconv.FormatInt(n, 10)}, "size": {strconv.FormatInt(size, 10)}}
	proof := new(wire.LogProof)
	if err := c.getJSON(ctx, get("/v1/log/proof", q), proof); err != nil {
		return nil, err
	}
	return proof, nil
}

// HashTile returns a tile of the tree (C2SP tlog-tiles): width hashes of 32 bytes.
func (c *Client) HashTile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	data, err := c.do(ctx, get("/v1/log/"+HashTilePath(level, n, width), nil))
	if err != nil {
		return nil, err
	}
	if len(data) != 32*width {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found a hash tile of %d bytes, want %d", len(data), 32*width)}
	}
	return data, nil
}

// EntryBundle returns the width entries of bundle n (C2SP tlog-tiles).
func (c *Client) EntryBundle(ctx context.Context, n int64, width int) ([][]byte, error) {
	data, err := c.do(ctx, get("/v1/log/"+EntryBundlePath(n, width), nil))
	if err != nil {
		return nil, err
	}
	entries, err := ParseEntryBundle(data)
	if err != nil {
		return nil, &ProtocolError{Detail: err.Error()}
	}
	if len(entries) != width {
		return nil, &ProtocolError{Detail: fmt.Sprintf("found an entry bundle of %d entries, want %d", len(entries), width)}
	}
	return entries, nil
}
