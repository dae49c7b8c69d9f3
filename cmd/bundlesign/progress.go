package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progressEvery is how often the line of a terminal is drawn anew.
const progressEvery = 100 * time.Millisecond

// progress is a line of a terminal that says how far something is. Where stderr
// is no terminal it says nothing: a log should not fill with it.
type progress struct {
	out  *os.File // nil: quiet
	now  func() time.Time
	mu   sync.Mutex
	what string
	done int64
	of   int64 // 0: not known
	last time.Time
	long int // of the line that stands there, in characters
}

// newProgress makes the line of this program's terminal.
func (a *app) newProgress() *progress {
	p := &progress{now: time.Now}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb" {
		p.out = f
	}
	a.line = p
	return p
}

// begin starts to tell about something else, of so many bytes.
func (p *progress) begin(what string, of int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.done, p.of = what, 0, of
	p.draw(true)
}

// add takes note of n bytes more.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.draw(false)
}

// end removes the line.
func (p *progress) end() { p.aside(func() {}) }

// aside removes the line for something else that is said; the next draws it anew.
func (p *progress) aside(say func()) {
	if p == nil {
		say()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil && p.long > 0 {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.long))
		p.long = 0
	}
	say()
}

func (p *progress) draw(always bool) {
	now := p.now()
	if p.out == nil || !always && now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	line := p.line()
	fmt.Fprintf(p.out, "\r%-*s", p.long, line)
	p.long = len(line)
}

// line is what stands there, in ASCII, so that its length is its width.
func (p *progress) line() string {
	switch {
	case p.of > 0:
		return fmt.Sprintf("%s: %3d %% of %s", p.what, min(100, 100*p.done/p.of), megabytes(p.of))
	case p.done > 0:
		return fmt.Sprintf("%s: %s", p.what, megabytes(p.done))
	}
	return p.what
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
