package webapp_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

func openZip(data []byte) (*webapp.App, error) {
	return webapp.OpenZip("app.zip", bytes.NewReader(data), int64(len(data)))
}

// Zips of other tools, among them the one that the official CLI uses.
func TestOpenZipOfOthers(t *testing.T) {
	app := tree{
		"app/index.html":      []byte("<html>\n"),
		"app/assets/größe.js": bytes.Repeat([]byte("notifyAppReady()"), 8),
		"app/x y/empty":       nil,
	}
	official, err := os.ReadFile("../../testdata/official/app.zip")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := openZip(official); err != nil {
		t.Errorf("the zip of the official CLI: %v", err)
	} else if err := a.Verify(t.Context(), nil); err != nil || find(t, a, "index.html").Size == 0 {
		t.Errorf("the zip of the official CLI: %v", err)
	}
	zips, err := filepath.Glob("testdata/zips/*.zip")
	if err != nil || len(zips) != 4 {
		t.Fatalf("found %d zips, want 4 (%v)", len(zips), err)
	}
	for _, name := range zips {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			a, err := openZip(data)
			if err != nil {
				t.Fatal(err)
			}
			app := maps.Clone(app)
			if strings.Contains(name, "ascii") {
				delete(app, "app/assets/größe.js")
			}
			same(t, "OpenZip", app, content(t, a))
			android, err := modelOfAndroid(data)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "Android", app, android)
			iOS, err := modelOfIOS(data)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "iOS", app, iOS)
		})
	}
}

// Info-ZIP's zip does not say that a name is UTF-8 but in a field that iOS does not know.
func TestOpenZipWithNamesThatAreNotMarked(t *testing.T) {
	data, err := os.ReadFile("testdata/refused/infozip-unmarked.zip")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openZip(data); err == nil || !strings.Contains(err.Error(), "not marked as UTF-8") {
		t.Errorf("found the error %v, want one about the name", err)
	}
}

var (
	index  = rawEntry{name: "index.html", data: []byte("<html>"), method: 8}
	script = rawEntry{name: "main.js", data: []byte("notifyAppReady()")}
)

// with is an entry that is not as it should be.
func with(e rawEntry, change func(*rawEntry)) rawEntry {
	change(&e)
	return e
}

func named(name string) rawZip {
	flags := uint16(0)
	if strings.ContainsFunc(name, func(r rune) bool { return r > 127 }) {
		flags = 1 << 11
	}
	return rawZip{entries: []rawEntry{index, {name: name, data: []byte("x"), flags: flags}}}
}

func two(e rawEntry) rawZip { return rawZip{entries: []rawEntry{index, e}} }

// hostile is zips that are not taken, and what is said about them. For those of which the phones
// would see different things, differ says so, and is held against the models of phones.
func hostile() map[string]struct {
	zip    rawZip
	says   string
	differ bool
} {
	described := func(e *rawEntry) { e.method, e.flags = 8, 8 }
	hidden := rawZip{entries: []rawEntry{{name: "evil.js", data: []byte("evil()")}}}
	return map[string]struct {
		zip    rawZip
		says   string
		differ bool
	}{
		"parent folder":     {zip: named("../evil.js"), says: `found ".."`},
		"parent inside":     {zip: named("a/../../evil.js"), says: `found ".."`},
		"this folder":       {zip: named("./main.js"), says: `found "."`},
		"absolute":          {zip: named("/etc/passwd"), says: "absolute"},
		"backslash":         {zip: named(`..\evil.js`), says: "backslash"},
		"NUL":               {zip: named("main.js\x00.png"), says: "control character"},
		"control":           {zip: named("\x1b[2Jmain.js"), says: "control character"},
		"no UTF-8":          {zip: named("gr\xf6sse"), says: "UTF-8"},
		"empty name":        {zip: named(""), says: "empty name"},
		"empty part":        {zip: named("a//b"), says: `"//"`},
		"long name":         {zip: named(strings.Repeat("d/", 600)), says: "1024"},
		"twice":             {zip: two(with(index, func(e *rawEntry) { e.data = []byte("other") })), says: "same name again"},
		"two forms":         {zip: rawZip{entries: []rawEntry{named("caf\u00e9").entries[1], named("cafe\u0301").entries[1]}}, says: "Unicode"},
		"file and folder":   {zip: rawZip{entries: []rawEntry{index, {name: "a"}, {name: "a/b"}}}, says: "a folder by one name and a file by the other"},
		"file and folder/":  {zip: rawZip{entries: []rawEntry{index, {name: "a"}, {name: "a/", mode: 0o040755}}}, says: "a folder by one name and a file by the other"},
		"folder twice":      {zip: rawZip{entries: []rawEntry{index, {name: "a/", mode: 0o040755}, {name: "a/", mode: 0o040755}}}, says: "same name again"},
		"link":              {zip: two(with(script, func(e *rawEntry) { e.mode = 0o120777 })), says: "symbolic link", differ: true},
		"device":            {zip: two(with(script, func(e *rawEntry) { e.mode = 0o060600 })), says: "neither file nor folder"},
		"folder by mode":    {zip: two(with(script, func(e *rawEntry) { e.mode = 0o040755 })), says: "attributes", differ: true},
		"file by mode":      {zip: two(rawEntry{name: "a/"}), says: "attributes", differ: true},
		"DOS folder":        {zip: two(with(script, func(e *rawEntry) { e.central = func(b []byte) { b[5] = 0; le.PutUint32(b[38:], 0x10) } })), says: "attributes"},
		"folder with data":  {zip: two(rawEntry{name: "a/", mode: 0o040755, data: []byte("x")}), says: "it is a folder and has"},
		"encrypted":         {zip: two(with(script, func(e *rawEntry) { e.flags = 1 })), says: "encrypted"},
		"strong":            {zip: two(with(script, func(e *rawEntry) { e.flags = 1 << 6 })), says: "flags"},
		"method":            {zip: two(with(script, func(e *rawEntry) { e.method = 12; e.packed = e.data })), says: "compression method 12"},
		"stored, described": {zip: two(with(script, func(e *rawEntry) { e.flags = 8 })), says: "not compressed, and its size is behind it"},
		"not marked UTF-8":  {zip: rawZip{entries: []rawEntry{index, {name: "größe", data: []byte("x")}}}, says: "not marked as UTF-8", differ: true},
		"Unicode path":      {zip: two(with(script, func(e *rawEntry) { e.extra = unicodePath("good.js") })), says: "another name in its extra fields"},
		"damaged extra":     {zip: two(with(script, func(e *rawEntry) { e.extra = []byte{1, 2, 200, 0, 5} })), says: "extra fields are damaged"},
		"ZIP64 of entry":    {zip: two(with(script, func(e *rawEntry) { e.extra = numbers16(1, 0) })), says: "ZIP64"},
		"ZIP64":             {zip: rawZip{entries: []rawEntry{index}, end: put32(16, 0xffffffff)}, says: "ZIP64"},
		"other name inside": {zip: two(with(script, func(e *rawEntry) { e.local = rename("main.js", "evil.js") })), says: `found the name "evil.js" in its header`, differ: true},
		"other method":      {zip: two(with(script, func(e *rawEntry) { e.method = 8; e.local = put16(8, 0) })), says: "how it is stored", differ: true},
		"other CRC":         {zip: two(with(script, func(e *rawEntry) { e.local = put32(14, 1) })), says: "another CRC", differ: true},
		"other size":        {zip: two(with(script, func(e *rawEntry) { e.central = put32(20, 3); e.local = nil })), says: "has 3 bytes or 16"},
		"smaller inside":    {zip: two(with(script, func(e *rawEntry) { e.local = func(b []byte) { le.PutUint32(b[18:], 5); le.PutUint32(b[22:], 5) } })), says: "its header says 5 bytes", differ: true},
		"sizes in both":     {zip: two(with(script, func(e *rawEntry) { described(e); e.local = put32(18, 5) })), says: "of its own"},
		"no signature":      {zip: two(with(script, func(e *rawEntry) { described(e); e.behind = make([]byte, 16) })), says: "behind its bytes"},
		"no descriptor":     {zip: two(with(script, func(e *rawEntry) { described(e); e.behind = []byte{} })), says: "overlap with the directory"},
		"prefix":            {zip: rawZip{entries: []rawEntry{with(index, func(e *rawEntry) { e.before = []byte("#!/bin/sh\n") })}}, says: "10 bytes before it", differ: true},
		"hidden before":     {zip: two(with(script, func(e *rawEntry) { e.before = entriesOf(hidden) })), says: "that the directory does not know", differ: true},
		"hidden at the end": {zip: rawZip{entries: []rawEntry{index}, before: entriesOf(hidden)}, says: "that it does not know", differ: true},
		"junk between":      {zip: two(with(script, func(e *rawEntry) { e.before = []byte{0} })), says: "1 bytes before it", differ: true},
		"same bytes twice":  {zip: two(with(script, func(e *rawEntry) { e.central = put32(42, 0) })), says: "overlaps", differ: true},
		"into directory":    {zip: two(with(script, func(e *rawEntry) { e.central = func(b []byte) { le.PutUint32(b[20:], 500); le.PutUint32(b[24:], 500) } })), says: "overlaps with the directory"},
		"header elsewhere":  {zip: two(with(script, func(e *rawEntry) { e.local = put32(0, 0) })), says: "found no header"},
		"other disk":        {zip: two(with(script, func(e *rawEntry) { e.central = put16(34, 1) })), says: "another part"},
		"several disks":     {zip: rawZip{entries: []rawEntry{index}, end: put16(4, 1)}, says: "several parts"},
		"fewer entries":     {zip: rawZip{entries: []rawEntry{index, script}, end: func(b []byte) { le.PutUint16(b[8:], 1); le.PutUint16(b[10:], 1) }}, says: "bytes between the directory and its end", differ: true},
		"more entries":      {zip: rawZip{entries: []rawEntry{index}, end: func(b []byte) { le.PutUint16(b[8:], 9); le.PutUint16(b[10:], 9) }}, says: "ends after 1 entries"},
		"other start":       {zip: rawZip{entries: []rawEntry{index}, end: put32(16, 3)}, says: "said to begin at 3", differ: true},
		"something behind":  {zip: rawZip{entries: []rawEntry{index}, behind: []byte("junk")}, says: "4 bytes behind its end"},
		"second directory":  {zip: rawZip{entries: []rawEntry{index}, behind: append(numbers32(0x06054b50), make([]byte, 18)...)}, says: "said to begin at 0", differ: true},
	}
}

// entriesOf is a zip without its directory.
func entriesOf(z rawZip) []byte {
	data := z.bytes(&testing.T{})
	return data[:bytes.Index(data, []byte("PK\x01\x02"))]
}

func unicodePath(name string) []byte {
	return append(numbers16(0x7075, uint16(5+len(name))), append([]byte{1, 0, 0, 0, 0}, name...)...)
}

func TestOpenZipRefuses(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			data := c.zip.bytes(t)
			_, err := openZip(data)
			var doubt *webapp.DoubtError
			if !errors.As(err, &doubt) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("found the error %v, want a doubt that says %q", err, c.says)
			}
			android, errA := modelOfAndroid(data)
			iOS, errB := modelOfIOS(data)
			equal := errA == nil && errB == nil && len(android) == len(iOS)
			for name := range android {
				equal = equal && bytes.Equal(android[name], iOS[name])
			}
			if c.differ && equal {
				t.Error("by the models the phones see the same, so the test is not about what it says")
			}
		})
	}
	if _, err := openZip(rawZip{}.bytes(t)); !errors.Is(err, webapp.ErrEmpty) {
		t.Errorf("no entry: found the error %v, want ErrEmpty", err)
	}
	if _, err := openZip(rawZip{entries: []rawEntry{{name: "a/", mode: 0o040755}}}.bytes(t)); !errors.Is(err, webapp.ErrEmpty) {
		t.Errorf("only a folder: found the error %v, want ErrEmpty", err)
	}
	for _, data := range []string{"", "PK", "PK\x05\x06", strings.Repeat("no zip ", 20_000)} {
		if _, err := openZip([]byte(data)); err == nil {
			t.Errorf("%.20q was taken for a zip", data)
		}
	}
}

// What cannot be seen without unpacking is seen then.
func TestZipContentIsChecked(t *testing.T) {
	long := bytes.Repeat([]byte("long "), 100_000)
	size := func(n uint32) func(e *rawEntry) {
		return func(e *rawEntry) {
			e.local, e.central = put32(22, n), put32(24, n)
		}
	}
	for name, c := range map[string]struct {
		entry rawEntry
		says  string
	}{
		"more than it says":     {with(rawEntry{name: "x", data: long, method: 8}, size(100)), "more than the 100 bytes"},
		"less than it says":     {with(rawEntry{name: "x", data: long, method: 8}, size(600_000)), "it has 500000 bytes, and the directory says 600000"},
		"nothing":               {rawEntry{name: "x", method: 8, packed: []byte{}}, "damaged"},
		"more behind it":        {rawEntry{name: "x", data: []byte("short"), method: 8, packed: append(deflate(t, []byte("short")), "hidden"...)}, "more bytes than its content takes"},
		"cut off":               {rawEntry{name: "x", data: long, method: 8, packed: deflate(t, long)[:50]}, "damaged"},
		"no Deflate":            {rawEntry{name: "x", data: long, method: 8, packed: bytes.Repeat([]byte{0xff}, 50)}, "damaged"},
		"other bytes":           {rawEntry{name: "x", data: []byte("right"), packed: []byte("wrong")}, "CRC"},
		"other bytes, Deflated": {rawEntry{name: "x", data: []byte("right"), method: 8, packed: deflate(t, []byte("wrong"))}, "CRC"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := openZip(two(c.entry).bytes(t))
			if err != nil {
				t.Fatal(err)
			}
			var doubt *webapp.DoubtError
			if err := a.Verify(t.Context(), nil); !errors.As(err, &doubt) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("found the error %v, want a doubt that says %q", err, c.says)
			}
			f := find(t, a, "x")
			data, err := readAll(f)
			if err == nil || int64(len(data)) > f.Size {
				t.Errorf("found %d bytes and the error %v, want at most %d and an error", len(data), err, f.Size)
			}
		})
	}
}

func TestZipBomb(t *testing.T) {
	data := two(rawEntry{name: "zeros", data: make([]byte, 1<<20), method: 8}).bytes(t)
	in := func(l webapp.Limits) error {
		_, err := webapp.OpenZipWithin("app.zip", bytes.NewReader(data), int64(len(data)), l)
		return err
	}
	for _, l := range []webapp.Limits{{Bytes: 1 << 20, Ratio: 1 << 20}, {Bytes: 1 << 21, Ratio: 100, FreeBytes: 1 << 10}} {
		var doubt *webapp.DoubtError
		if err := in(l); !errors.As(err, &doubt) || !strings.Contains(err.Error(), "unpacked") {
			t.Errorf("%+v: found the error %v, want one about what it unpacks to", l, err)
		}
	}
	if err := in(webapp.DefaultLimits()); err != nil {
		t.Error(err)
	}
	// 4 GiB by the directory, which is all that is looked at.
	claim := rawEntry{name: "zeros", data: make([]byte, 100), method: 8}
	claim.local, claim.central = put32(22, 0xfffffffe), put32(24, 0xfffffffe)
	if _, err := openZip(two(claim).bytes(t)); err == nil || !strings.Contains(err.Error(), "unpacked") {
		t.Errorf("found the error %v, want one about what it unpacks to", err)
	}
}

func TestOpenZipTakesAComment(t *testing.T) {
	data := rawZip{entries: []rawEntry{index, script}, end: put16(20, 5), behind: []byte("hello")}.bytes(t)
	if _, err := openZip(data); err != nil {
		t.Error(err)
	}
}

type failingReader struct{ *bytes.Reader }

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestOpenZipThatCannotBeRead(t *testing.T) {
	if _, err := webapp.OpenZip("app.zip", failingReader{}, 1000); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("found the error %v, want that of the reader", err)
	}
}
