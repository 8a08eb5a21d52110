//go:build linux

package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. Its text is 65536, 64KiB, 16MiB or 1GiB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	shift  uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}}

// ParseBytes reads the text of a size.
func ParseBytes(text string) (Bytes, error) {
	number, shift := text, uint(0)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(text, u.suffix); ok {
			number, shift = n, u.shift
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("expected a size in B, KiB, MiB or GiB, such as 64KiB or 1MiB, got %s", quote(text))
	}
	return Bytes(n << shift), nil
}

// String is the shortest text without a fraction.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for i := 2; i >= 0; i-- {
		u := byteUnits[i]
		if n := int64(b); n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}
