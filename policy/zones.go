package policy

import (
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// CEL looks a time zone up in the file system at each evaluation. Here it is
// looked up once, when the policy is compiled: a zone that does not exist is then
// found at once, a decision does no I/O, and does not change because a file did.

// zones are the time zones that conditions name. Filled while a policy is
// compiled, only read afterwards.
type zones map[string]*time.Location

// zoned are the functions of CEL that take a time zone: their name, what CEL calls
// the overload with a zone, and what it does.
var zoned = []struct {
	function, overload string
	of                 func(time.Time) int
}{
	{"getFullYear", "timestamp_to_year_with_tz", time.Time.Year},
	{"getMonth", "timestamp_to_month_with_tz", func(t time.Time) int { return int(t.Month()) - 1 }},
	{"getDayOfYear", "timestamp_to_day_of_year_with_tz", func(t time.Time) int { return t.YearDay() - 1 }},
	{"getDayOfMonth", "timestamp_to_day_of_month_with_tz", func(t time.Time) int { return t.Day() - 1 }},
	{"getDate", "timestamp_to_day_of_month_1_based_with_tz", time.Time.Day},
	{"getDayOfWeek", "timestamp_to_day_of_week_with_tz", func(t time.Time) int { return int(t.Weekday()) }},
	{"getHours", "timestamp_to_hours_with_tz", time.Time.Hour},
	{"getMinutes", "timestamp_to_minutes_with_tz", time.Time.Minute},
	{"getSeconds", "timestamp_to_seconds_tz", time.Time.Second},
	{"getMilliseconds", "timestamp_to_milliseconds_with_tz", func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) }},
}

func zonedOverloads() map[string]bool {
	ids := make(map[string]bool)
	for _, f := range zoned {
		ids[f.overload] = true
	}
	return ids
}

// functions replace those of CEL.
func (z zones) functions() []cel.EnvOption {
	var options []cel.EnvOption
	for _, f := range zoned {
		options = append(options, cel.Function(f.function, cel.MemberOverload(f.overload,
			[]*cel.Type{cel.TimestampType, cel.StringType}, cel.IntType,
			cel.BinaryBinding(func(at, zone ref.Val) ref.Val {
				t, isTime := at.(types.Timestamp)
				name, isText := zone.(types.String)
				location, known := z[string(name)]
				if !isTime || !isText || !known {
					return types.NewErr("%s wants a time and the name of a time zone", f.function)
				}
				return types.Int(f.of(t.In(location)))
			}))))
	}
	return options
}

// load looks up a zone that an expression names.
func (z zones) load(name string) error {
	location, err := findZone(name)
	if err != nil {
		return err
	}
	z[name] = location
	return nil
}

// findZone takes the name of a zone of the IANA database or an offset from UTC
// such as "+02:00". "Local" is none: it depends on the machine.
func findZone(name string) (*time.Location, error) {
	const want = `want a name such as "Europe/Zurich" or an offset such as "+02:00"`
	if at, err := time.Parse("-07:00", name); err == nil {
		_, offset := at.Zone()
		return time.FixedZone(name, offset), nil
	}
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("found time zone %q, %s", name, want)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("found time zone %q, which this machine does not know (%w), %s", name, err, want)
	}
	return location, nil
}
