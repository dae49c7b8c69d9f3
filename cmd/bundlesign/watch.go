package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
)

const (
	// watchPause is how long the daemon is left alone between two looks.
	watchPause = 2 * time.Second
	// watchPauseMost is that while nobody answers.
	watchPauseMost = 30 * time.Second
	// watchPage is how many of the newest requests a look begins with.
	watchPage = 100
	// watchPages is how many such pages it goes back for what it has not seen.
	watchPages = 10
)

// watcher tells what changes, one line for each change. What is open is looked at
// again until it ends; what has ended is told once and forgotten.
type watcher struct {
	client *client.Client
	app    string // only requests for this app, or ""
	tell   func(*wire.Signature) error

	began  bool
	newest string            // id of the newest request at the look before, or ""
	open   map[string]string // by id: what was told last
}

// watch goes on until the user interrupts it, which is how it ends well.
func (a *app) watch(ctx context.Context, appID string, asJSON bool) error {
	c := a.client()
	defer c.Close()
	w := &watcher{client: c, app: appID, open: make(map[string]string), tell: func(s *wire.Signature) error {
		if asJSON {
			return a.printJSONLine(s)
		}
		return a.print(printableLine(changeLine(s)))
	}}
	pause := watchPause
	for {
		err := w.look(ctx)
		var undelivered *undeliveredError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = watchPause
		case !w.began, errors.As(err, &undelivered):
			return err
		default:
			a.say("%v; trying again", err)
			pause = min(2*pause, watchPauseMost)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// look tells what is new or has changed since the look before; the first tells
// what is open.
func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	fresh, newest, err := w.fresh(ctx)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, state := range []string{client.StatePending, client.StateAuthorized} {
		list, err := listRequests(ctx, w.client, client.ListFilter{State: state, AppID: w.app, Limit: maxPage})
		if err != nil {
			return err
		}
		for i := len(list) - 1; i >= 0; i-- {
			seen[list[i].ID] = true
			if err := w.note(&list[i]); err != nil {
				return err
			}
		}
	}
	// What was open, a moment or a look ago, and is not any more.
	gone := slices.Collect(maps.Keys(w.open))
	for i := range fresh {
		if isOpen(fresh[i].State) {
			gone = append(gone, fresh[i].ID)
		}
	}
	slices.Sort(gone)
	for _, id := range slices.Compact(gone) {
		if seen[id] {
			continue
		}
		sig, err := w.client.Signature(ctx, id)
		if err != nil {
			return err
		}
		if err := w.note(sig); err != nil {
			return err
		}
	}
	for i := len(fresh) - 1; i >= 0; i-- {
		if !isOpen(fresh[i].State) {
			if err := w.note(&fresh[i]); err != nil {
				return err
			}
		}
	}
	w.newest, w.began = newest, true
	return nil
}

// fresh returns the requests that were submitted since the look before, newest
// first, and the id of the newest there is; at the first look none is fresh.
func (w *watcher) fresh(ctx context.Context) (list []wire.Signature, newest string, err error) {
	newest = w.newest
	filter := client.ListFilter{AppID: w.app, Limit: watchPage}
	for pages := range watchPages {
		page, err := w.client.Signatures(ctx, filter)
		if err != nil {
			return nil, "", err
		}
		if pages == 0 && len(page.Signatures) > 0 {
			newest = page.Signatures[0].ID
		}
		if !w.began {
			break
		}
		known := slices.IndexFunc(page.Signatures, func(s wire.Signature) bool { return s.ID == w.newest })
		if known >= 0 {
			return append(list, page.Signatures[:known]...), newest, nil
		}
		list = append(list, page.Signatures...)
		if page.Next == 0 {
			break
		}
		filter.Before = page.Next
	}
	return list, newest, nil
}

func isOpen(state string) bool {
	return state == client.StatePending || state == client.StateAuthorized
}

// note tells what is known of a request, unless that was told last.
func (w *watcher) note(s *wire.Signature) error {
	line := changeLine(s)
	if w.open[s.ID] == line {
		return nil
	}
	if err := w.tell(s); err != nil {
		return err
	}
	if isOpen(s.State) {
		w.open[s.ID] = line
	} else {
		delete(w.open, s.ID)
	}
	return nil
}

// changeLine is what is told of a request, without a time that would make each
// look a change.
func changeLine(s *wire.Signature) string {
	text := fmt.Sprintf("%s  %s  %s  %s %s for %s  by %s", stamp(s.UpdatedAt), s.ID, s.State, s.AppID, s.Version, s.Channel, requester(s.Requester))
	if s.BreakGlass != "" {
		text += "  EMERGENCY: " + s.BreakGlass
	}
	if waits := client.WaitsFor(s.Missing); waits != "" {
		text += "  waits for " + waits
		if s.ExpiresAt != nil {
			text += ", until " + stamp(*s.ExpiresAt)
		}
	} else if s.State != client.StateSigned {
		text += "  " + s.Reason
	}
	if s.Note != "" {
		text += "  note: " + s.Note
	}
	return text
}

// printJSONLine writes one document in one line.
func (a *app) printJSONLine(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return a.print(buf.String())
}
