package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestProgressIsALineOfTheTerminal(t *testing.T) {
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	a := &app{stderr: slave, getenv: func(string) string { return "" }}
	p := a.newProgress()
	now := time.Unix(0, 0)
	p.now = func() time.Time { return now }
	p.begin("packing", 40_000_000)
	p.add(10_000_000) // too soon to draw
	now = now.Add(time.Second)
	p.add(10_000_000)
	a.say("something else")
	p.begin("encrypting", 0)
	p.end()
	a.say("done")
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	seen := newTranscript(master)
	ctx, cancel := context.WithTimeout(t.Context(), dialogueTime)
	defer cancel()
	if err := seen.expect(ctx, regexp.MustCompile("done\n")); err != nil {
		t.Fatal(err)
	}
	text := seen.String()
	for _, want := range []string{"packing:   0 % of 40.0 MB", "packing:  50 % of 40.0 MB", "bundlesign: something else\n", "encrypting", "bundlesign: done\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("found no %q in %q", want, text)
		}
	}
	if strings.Contains(text, "25 %") || strings.Contains(text, "50 % of 40.0 MBbundlesign") {
		t.Errorf("found %q: drawn too often, or not removed", text)
	}
}

// A log, a pipe and a terminal that can do nothing get no progress.
func TestProgressIsQuietElsewhere(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	for _, a := range []*app{
		{stderr: file, getenv: func(string) string { return "" }},
		{stderr: slave, getenv: func(string) string { return "dumb" }},
	} {
		p := a.newProgress()
		p.begin("packing", 10)
		p.add(10)
		p.end()
		if p.long != 0 {
			t.Errorf("found a line of %d characters", p.long)
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("found %d bytes and %v", info.Size(), err)
	}
}
