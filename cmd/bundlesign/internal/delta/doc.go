// Package delta makes delta updates: every file of an app by itself, compressed
// and encrypted, and a manifest that says which they are. A phone then downloads
// only the files that it does not have.
//
// Its invariant is that a folder with a manifest in it holds a whole update. What
// is written goes to a temporary folder first. It gets its name when every file
// was read again and still was what its signed hash says, was compressed in a way
// that phones undo to just that, and is on disk.
//
// A folder holds
//
//	manifest.json   an array of capgo.ManifestEntry, in the order of the plan
//	files/OBJECT    the stored files; OBJECT is the SHA-256 of the stored bytes
//
// The names of the objects have no ".br" and no other ending, so that no web
// server adds a Content-Encoding or takes one for a page; equal files share one;
// and an upload can be checked with sha256sum.
package delta
