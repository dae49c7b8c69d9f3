package webapp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Findings is what the updater would make of an app.
type Findings struct {
	// IndexHTML is where index.html is, relative to the app, or "" if the updater of one
	// kind of phone at least will not find it there.
	IndexHTML string
	// IndexProblem says why IndexHTML is "".
	IndexProblem string
	// CallsNotifyAppReady tells that a script of the app has notifyAppReady in it.
	// Without that call a phone goes back to the version before.
	CallsNotifyAppReady bool
	// Alike is the pairs of files whose names are equal but for case. Phones tell them
	// apart; many a Mac does not, and shows one of the two.
	Alike [][2]string
}

// Check looks for what the updater needs of an app. It reads scripts until one has
// what is looked for.
func (a *App) Check(ctx context.Context) (*Findings, error) {
	f := &Findings{Alike: alike(a.Files)}
	f.IndexHTML, f.IndexProblem = a.index()
	for i := range a.Files {
		if !isScript(a.Files[i].Name) {
			continue
		}
		found, err := contains(ctx, &a.Files[i], "notifyAppReady")
		if err != nil {
			return nil, err
		}
		if found {
			f.CallsNotifyAppReady = true
			break
		}
	}
	return f, nil
}

const indexHTML = "index.html"

// index finds index.html as the updater does. If all of an app is in one folder, its
// updater takes that folder for the app (flattenAssets on Android, unflatFolder on iOS).
// Android does not count what begins with a dot or with __MACOSX; iOS does.
func (a *App) index() (where, problem string) {
	var all, counted []string
	for name := range a.tops() {
		all = append(all, name)
		if !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "__MACOSX") {
			counted = append(counted, name)
		}
	}
	if a.has(indexHTML) {
		return indexHTML, ""
	}
	inside := func(top []string) string {
		if len(top) == 1 {
			return path.Join(top[0], indexHTML)
		}
		return indexHTML
	}
	iOS, android := inside(all), inside(counted)
	switch {
	case a.has(iOS) && a.has(android):
		return iOS, ""
	case a.has(android):
		slices.Sort(all)
		return "", fmt.Sprintf("found %s, which Android takes and iOS does not, because %s is there as well", android, but(all, counted[0]))
	}
	for _, f := range a.Files {
		if strings.EqualFold(path.Base(f.Name), indexHTML) {
			return "", fmt.Sprintf("found it at %s, want it at the top, or in the one folder that has everything", f.Name)
		}
	}
	return "", "found none"
}

func but(names []string, not string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == not }), ", ")
}

// tops is the names at the top of the app.
func (a *App) tops() map[string]bool {
	tops := make(map[string]bool)
	add := func(name string) {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	for _, f := range a.Files {
		add(f.Name)
	}
	for _, name := range a.folders {
		add(name)
	}
	return tops
}

func (a *App) has(name string) bool {
	_, found := slices.BinarySearchFunc(a.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	return found
}

// isScript tells where the call of notifyAppReady can be: the official CLI looks into
// .js; today's bundlers write .mjs and .cjs as well, or put all of an app into its page.
func isScript(name string) bool {
	return slices.Contains([]string{".js", ".mjs", ".cjs", ".html", ".htm"}, path.Ext(name))
}

// contains looks for text in a file without holding it in memory.
func contains(ctx context.Context, f *File, text string) (bool, error) {
	r, err := f.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	in := &meter{ctx: ctx, r: r}
	// The end of each piece is kept: what is looked for may begin there.
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := in.Read(buf[kept:])
		n += kept
		if bytes.Contains(buf[:n], []byte(text)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = min(n, len(text)-1)
		copy(buf, buf[n-kept:n])
	}
}
