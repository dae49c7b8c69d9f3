package policy

import (
	"errors"
	"fmt"
	"time"
)

// Usage is what was signed before, for [Limits.Check].
type Usage struct {
	// Highest is the signed, or just now being signed, release with the highest
	// version for the same app and channel; its zero value: none.
	Highest Release
	// Count returns how many requests were authorized since a time that have the
	// scope in common with the one that is checked.
	Count func(per Scope, since time.Time) (int, error)
}

// Check returns why the limits forbid that a request is signed now, or "". A nil
// Limits forbids nothing. An error is one of Count; it is no permission.
func (l *Limits) Check(q Request, u Usage) (reason string, err error) {
	if l == nil {
		return "", nil
	}
	if l.IncreasingVersions && u.Highest != (Release{}) {
		if reason := notIncreasing(&q, &u.Highest); reason != "" {
			return reason, nil
		}
	}
	if len(l.Rates) > 0 && u.Count == nil {
		return "", errors.New("limits cannot be checked: nobody counts")
	}
	for _, rate := range l.Rates {
		n, err := u.Count(rate.Per, q.Time.Add(-rate.Within))
		if err != nil {
			return "", fmt.Errorf("count what was signed per %s: %w", rate.Per, err)
		}
		if n < rate.Most {
			continue
		}
		wait, err := rate.wait(q.Time, u)
		if err != nil {
			return "", fmt.Errorf("count what was signed per %s: %w", rate.Per, err)
		}
		return fmt.Sprintf("%d signed %s in the last %s, and at most %d may be; there is room again in about %s",
			n, rate.Per.inWords(&q), inWords(rate.Within), rate.Most, inWords(wait)), nil
	}
	return "", nil
}

// notIncreasing returns why a version may not follow the highest one, or "".
func notIncreasing(q *Request, highest *Release) string {
	if q.Version == highest.Version {
		if q.Digest == highest.Digest {
			return "" // the same bundle once more
		}
		return fmt.Sprintf("version %s was signed before for app %q and channel %q, of another bundle; versions must increase", q.Version, q.App, q.Channel)
	}
	order, err := compareVersions(q.Version, highest.Version)
	if err != nil {
		return fmt.Sprintf("versions must increase, but cannot be compared: %v", err)
	}
	if order <= 0 {
		return fmt.Sprintf("version %s is not above %s, the highest signed for app %q and channel %q; versions must increase", q.Version, highest.Version, q.App, q.Channel)
	}
	return ""
}

// wait returns how long it takes until a rate that is used up has room, to a
// thousandth of its span: until fewer than Most of what is counted now are young
// enough to count.
func (r *Rate) wait(now time.Time, u Usage) (time.Duration, error) {
	step := max(r.Within/1000, time.Second)
	full, free := time.Duration(0), r.Within
	for free-full > step {
		middle := full + (free-full)/2
		n, err := u.Count(r.Per, now.Add(middle-r.Within))
		if err != nil {
			return 0, err
		}
		if n >= r.Most {
			full = middle
		} else {
			free = middle
		}
	}
	return free, nil
}

func (s Scope) inWords(q *Request) string {
	switch s {
	case PerRule:
		return "by this rule"
	case PerApp:
		return fmt.Sprintf("for app %q", q.App)
	}
	return fmt.Sprintf("for %s", q.Requester)
}

// inWords shows a time to the second, without parts that are zero: "24h", "1h30m".
func inWords(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := d/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second
	var out string
	for _, part := range []struct {
		n    time.Duration
		unit string
	}{{h, "h"}, {m, "m"}, {s, "s"}} {
		if part.n > 0 {
			out += fmt.Sprintf("%d%s", part.n, part.unit)
		}
	}
	if out == "" {
		return "a second"
	}
	return out
}
