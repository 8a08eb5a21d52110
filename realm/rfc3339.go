package realm

import "time"

// Times of RFC 3339, as get_events takes them (PROTOCOL 7.8): all that section 5.6 allows, and nothing else. This is
// not time.Parse: that refuses lower-case letters and leap seconds, and takes hours of one digit and a comma before
// the fraction.

// parseTime reads a date-time of RFC 3339. exact is false if t has less than the text says: digits beyond the
// nanosecond that are not all zero. A leap second is the second behind it. It may be at the end of each month in UTC
// (section 5.7); in which months there was one is not known here.
func parseTime(text string) (t time.Time, exact, ok bool) {
	r := timeReader{rest: text}
	year := r.number(4, 0, 9999, '-')
	month := r.number(2, 1, 12, '-')
	day := r.number(2, 1, 31, 'T')
	hour := r.number(2, 0, 23, ':')
	minute := r.number(2, 0, 59, ':')
	second := r.number(2, 0, 60, 0)
	nanos, exact := r.fraction()
	offset := r.offset()
	if r.bad || r.rest != "" {
		return time.Time{}, false, false
	}
	// Date takes a leap second, or a day that the month has not, as what comes behind it.
	t = time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
		return time.Time{}, false, false
	}
	t = t.Add(-offset)
	if second == 60 && (t.Day() != 1 || t.Hour() != 0 || t.Minute() != 0) {
		return time.Time{}, false, false
	}
	return t, exact, true
}

// A timeReader reads a text from its beginning. After the first fault it is bad.
type timeReader struct {
	rest string
	bad  bool
}

// is takes a character, if it is the next one; letters in either case.
func (r *timeReader) is(c byte) bool {
	if r.rest == "" || r.rest[0] != c && (c < 'A' || r.rest[0] != c+'a'-'A') {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// number takes a number of so many digits from least to most, and the character behind it, unless that is 0.
func (r *timeReader) number(digits, least, most int, behind byte) (n int) {
	for range digits {
		d, found := r.digit()
		if !found {
			r.bad = true
		}
		n = 10*n + d
	}
	if n < least || n > most || behind != 0 && !r.is(behind) {
		r.bad = true
	}
	return n
}

// digit takes the next digit, if it is one.
func (r *timeReader) digit() (d int, found bool) {
	if r.rest == "" || r.rest[0] < '0' || r.rest[0] > '9' {
		return 0, false
	}
	d = int(r.rest[0] - '0')
	r.rest = r.rest[1:]
	return d, true
}

// fraction takes the fraction of a second, if there is one.
func (r *timeReader) fraction() (nanos int, exact bool) {
	exact = true
	if !r.is('.') {
		return 0, true
	}
	digits := len(r.rest)
	for unit := 100_000_000; ; unit /= 10 {
		d, found := r.digit()
		if !found {
			r.bad = r.bad || len(r.rest) == digits
			return nanos, exact
		}
		nanos += d * unit
		exact = exact && (unit > 0 || d == 0)
	}
}

// offset takes how far the time is ahead of UTC.
func (r *timeReader) offset() time.Duration {
	sign := time.Duration(1)
	switch {
	case r.is('Z'):
		return 0
	case r.is('+'):
	case r.is('-'):
		sign = -1
	default:
		r.bad = true
		return 0
	}
	hours := r.number(2, 0, 23, ':')
	minutes := r.number(2, 0, 59, 0)
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute)
}
