package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/policy"
)

// How far back the last release is looked for: so many pages of so many requests.
const (
	releasePages = 10
	releasePage  = 100
)

// one shows a request and does with it what the person says. It shows it again
// where the daemon did not take their word: what it is about may have changed.
func (r *reviewer) one(ctx context.Context, id string) error {
	for {
		sig, statement, err := r.fetch(ctx, id)
		if sig == nil || err != nil {
			return err
		}
		files, err := r.show(ctx, sig, statement)
		if err != nil {
			return err
		}
		done, err := r.decide(ctx, sig, statement, files)
		var problem *wire.Problem
		var input *inputError
		switch {
		case errors.As(err, &problem), errors.As(err, &input):
			r.complain(err)
		case done || err != nil:
			return err
		}
	}
}

// show shows what a person needs to know of a request, and returns all its files.
func (r *reviewer) show(ctx context.Context, sig *wire.Signature, statement string) ([]change, error) {
	if err := r.app.show(statement); err != nil {
		return nil, err
	}
	r.app.sayAgreed(sig)
	files, listed, err := r.showFiles(ctx, sig, statement)
	if err != nil {
		return nil, err
	}
	if r.mine != nil {
		why, changes := r.mine.differs(sig)
		if why == "" {
			r.app.say("%s", r.mine.same(sig))
		} else {
			r.app.say("this is NOT what you have built: %s", why)
			if len(changes) > 0 {
				r.app.say("from yours to that of the request: %s", countLine(changes))
			}
			lines := changeLines(changes, shownChanges)
			listed += strings.Count(lines, "\n")
			if err := r.app.show(lines); err != nil {
				return nil, err
			}
		}
	}
	if strings.Count(statement, "\n")+listed > longStatement {
		return files, r.app.showAgain(statement)
	}
	return files, nil
}

// showFiles shows the difference to the last release, and returns every file and
// how many lines it took.
func (r *reviewer) showFiles(ctx context.Context, sig *wire.Signature, statement string) ([]change, int, error) {
	last, err := r.lastRelease(ctx, sig)
	if err != nil {
		return nil, 0, err
	}
	if last == nil {
		r.app.say("nothing was signed for this app and channel before")
	} else if strings.EqualFold(last.Digest, sig.Digest) {
		r.app.say("the zip is that of %s, signed as request %s", last.Version, last.ID)
	}
	if len(sig.Files) == 0 {
		r.app.say("there is no list of files: what is in the zip is bound by its digest alone; --bundle compares it with what you have built")
		return nil, 0, nil
	}
	const bound = "the list is of the delta update; what is in the zip is bound by its digest alone"
	if last == nil || len(last.Files) == 0 {
		all := compareFiles(nil, sig.Files)
		if last != nil {
			r.app.say("%s, signed as request %s, had no list of files to compare with", last.Version, last.ID)
		}
		r.app.say("%d files; %s", len(all), bound)
		return all, 0, nil
	}
	all := compareFiles(last.Files, sig.Files)
	r.app.say("since %s, signed as request %s: %s; %s", last.Version, last.ID, countLine(all), bound)
	// The daemon has put the difference into the statement when the request arrived,
	// unless another release was signed since.
	if named := " as request " + last.ID; strings.Contains(statement, named) {
		want := fmt.Sprintf("%s: %d files added, %d changed, %d removed\n", named, count(all, markAdded), count(all, markChanged), count(all, markRemoved))
		if !strings.Contains(statement, want) {
			return nil, 0, &client.UntrustedError{Part: "statement", Err: errors.New("the changes that it lists are not those between the two lists of files")}
		}
		return all, 0, nil
	}
	r.app.say("the statement does not compare with that release")
	lines := changeLines(all, shownChanges)
	return all, strings.Count(lines, "\n"), r.app.show(lines)
}

// lastRelease returns the newest signed request of the same app and channel, with
// its files as the log has them, or nil if there is none.
func (r *reviewer) lastRelease(ctx context.Context, sig *wire.Signature) (*wire.Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	filter := client.ListFilter{State: client.StateSigned, AppID: sig.AppID, Limit: releasePage}
	for range releasePages {
		page, err := r.client.Signatures(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Signatures {
			if s.AppID != sig.AppID || s.Channel != sig.Channel {
				continue
			}
			last, err := r.client.Signature(ctx, s.ID)
			if err != nil {
				return nil, err
			}
			if last.AppID != sig.AppID || last.Channel != sig.Channel {
				return nil, &client.UntrustedError{Part: "signatures", Err: fmt.Errorf("request %q of the list is about another app or channel", s.ID)}
			}
			return last, client.CheckSignedFiles(last, r.logKey)
		}
		if page.Next == 0 {
			return nil, nil
		}
		filter.Before = page.Next
	}
	r.app.say("found no release of this channel among the last %d of the app", releasePages*releasePage)
	return nil, nil
}

// decide asks what to do with a request, and does it. An empty answer is none.
func (r *reviewer) decide(ctx context.Context, sig *wire.Signature, statement string, files []change) (done bool, err error) {
	for {
		answer, err := r.desk.ask(ctx, "[a]pprove, [r]eject, [s]kip, [d]etails, [q]uit?", maxTyped)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(answer) {
		case "a", "approve":
			if r.mine != nil {
				if why, _ := r.mine.differs(sig); why != "" {
					r.app.say("not approved: it is not what you have built; without --bundle that is not looked at")
					continue
				}
			}
			return true, r.approve(ctx, sig, statement)
		case "r", "reject":
			reason, err := r.desk.askReason(ctx)
			if err != nil {
				return false, err
			}
			if reason == "" {
				continue
			}
			return true, r.reject(ctx, sig, statement, reason)
		case "s", "skip":
			r.skipped++
			return true, nil
		case "d", "details":
			text := statement
			if len(files) > 0 {
				text += "\n" + allLines(files)
			}
			if err := r.desk.page(ctx, text); err != nil {
				return false, err
			}
		case "q", "quit":
			return false, errQuit
		case "":
		default:
			r.app.say("found %q, want one of a, r, s, d and q", answer)
		}
	}
}

func (r *reviewer) approve(ctx context.Context, sig *wire.Signature, statement string) error {
	armored, err := r.pen.write(ctx, policy.ApprovalNamespace, statement)
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	now, err := r.client.Approve(sending, sig.ID, armored)
	if err != nil {
		return err
	}
	r.approved++
	return r.app.showWord(now, approvedBy(now, armored), false)
}

func (r *reviewer) reject(ctx context.Context, sig *wire.Signature, statement, reason string) error {
	armored, err := r.pen.write(ctx, policy.RejectionNamespace, statement)
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	now, err := r.client.Reject(sending, sig.ID, armored, reason)
	if err != nil {
		return err
	}
	r.rejected++
	return r.app.showWord(now, "rejected "+now.ID, false)
}
