package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written as an integer or with KiB or MiB.
type ByteSize int64

// The units of a [ByteSize].
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
)

// String writes the size with the largest unit that divides it.
func (s ByteSize) String() string {
	switch {
	case s != 0 && s%MiB == 0:
		return fmt.Sprintf("%dMiB", int64(s/MiB))
	case s != 0 && s%KiB == 0:
		return fmt.Sprintf("%dKiB", int64(s/KiB))
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseByteSize reads what [ByteSize.String] writes.
func parseByteSize(text string) (ByteSize, error) {
	const want = "want a number of bytes, or one with KiB or MiB, such as 8MiB"
	digits, unit := text, ByteSize(1)
	if d, ok := strings.CutSuffix(text, "KiB"); ok {
		digits, unit = d, KiB
	} else if d, ok := strings.CutSuffix(text, "MiB"); ok {
		digits, unit = d, MiB
	}
	n, err := parseInt(digits)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("found %s, %s", quote(text), want)
	}
	return ByteSize(n) * unit, nil
}
