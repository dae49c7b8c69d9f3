package api

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

const (
	maxEntries = 256 // of one GET /v1/log/entries, and of an entry bundle
	tileHeight = 8   // C2SP tlog-tiles
)

func receipt(r *audit.Receipt) *wire.Receipt {
	return &wire.Receipt{Index: r.Index, Entry: string(r.Entry), Checkpoint: string(r.Checkpoint), Proof: encodeProof(r.Proof)}
}

func encodeProof(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return out
}

// checkpoint is GET /v1/log/checkpoint.
func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	msg, err := s.core.Log().Checkpoint(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(msg)
	return nil
}

// entry is GET /v1/log/entries/{index}.
func (s *Server) entry(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	index, err := strconv.ParseInt(r.PathValue("index"), 10, 64)
	if err != nil || index < 0 {
		return badField("/index", "found %q, want a whole number from 0", r.PathValue("index"))
	}
	rec, err := s.core.ReceiptAt(r.Context(), index)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wire.LogEntry{Receipt: *receipt(rec)})
}

// entries is GET /v1/log/entries?from=&to=: the entries in [from, to), at most
// 256 of them.
func (s *Server) entries(w http.ResponseWriter, r *http.Request) error {
	tree, err := s.tree(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	from := q.number("from", 0)
	to := q.number("to", tree.N)
	if err := q.done(); err != nil {
		return err
	}
	if from > to || to > tree.N {
		return badField("/to", "found entries %d to %d, want a range inside the log's %d", from, to, tree.N)
	}
	to = from + min(to-from, maxEntries)
	raw, err := s.core.Log().Entries(r.Context(), from, to)
	if err != nil {
		return err
	}
	out := wire.LogEntries{From: from, Entries: make([]string, len(raw))}
	for i, e := range raw {
		out.Entries[i] = string(e)
	}
	return writeJSON(w, http.StatusOK, out)
}

// proof is GET /v1/log/proof: of inclusion with index and size, of consistency
// with from and size. An absent size is that of the newest checkpoint.
func (s *Server) proof(w http.ResponseWriter, r *http.Request) error {
	tree, err := s.tree(r)
	if err != nil {
		return err
	}
	q := newQuery(r)
	size, index, from := q.number("size", tree.N), q.number("index", -1), q.number("from", -1)
	if err := q.done(); err != nil {
		return err
	}
	if size > tree.N {
		return badField("/size", "found %d, want at most the log's size, %d", size, tree.N)
	}
	hashes := s.core.Log().Hashes(r.Context())
	out := wire.LogProof{Size: size}
	switch {
	case index >= 0 && from < 0:
		if index >= size {
			return badField("/index", "found %d, want less than the size, %d", index, size)
		}
		p, err := tlog.ProveRecord(size, index, hashes)
		if err != nil {
			return err
		}
		out.Index, out.Proof = &index, encodeProof(p)
	case from >= 0 && index < 0:
		if from < 1 || from > size {
			return badField("/from", "found %d, want 1 to the size, %d", from, size)
		}
		p, err := tlog.ProveTree(size, from, hashes)
		if err != nil {
			return err
		}
		out.From, out.Proof = &from, encodeProof(p)
	default:
		return badField("/index", "want either index (inclusion) or from (consistency)")
	}
	return writeJSON(w, http.StatusOK, out)
}

// tile is GET /v1/log/tile/{level}/{tile...}: C2SP tlog-tiles, hash tiles by
// level and entry bundles under "entries".
func (s *Server) tile(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	level := r.PathValue("level")
	if level == "entries" {
		level = "data"
	}
	// x/mod's path has the height in it; C2SP fixes it at 8 and leaves it out.
	t, err := tlog.ParseTilePath("tile/" + strconv.Itoa(tileHeight) + "/" + level + "/" + r.PathValue("tile"))
	if err != nil || r.PathValue("level") == "data" {
		return &notFoundError{r.URL.Path}
	}
	tree, err := s.tree(r)
	if err != nil {
		return err
	}
	have := tree.N
	if t.L > 0 {
		have >>= uint(t.L * tileHeight)
	}
	if t.L*tileHeight > 62 || t.N > have>>tileHeight || t.N<<tileHeight+int64(t.W) > have {
		return &notFoundError{r.URL.Path}
	}
	first := t.N << tileHeight
	var data []byte
	if t.L == -1 {
		data, err = s.entryBundle(r, first, first+int64(t.W))
	} else {
		data, err = tlog.ReadTileData(t, s.core.Log().Hashes(r.Context()))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(data)
	return nil
}

// entryBundle is the entries, each behind its length in 16 bits, big-endian.
func (s *Server) entryBundle(r *http.Request, from, to int64) ([]byte, error) {
	entries, err := s.core.Log().Entries(r.Context(), from, to)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, e := range entries {
		out = binary.BigEndian.AppendUint16(out, uint16(len(e)))
		out = append(out, e...)
	}
	return out, nil
}
