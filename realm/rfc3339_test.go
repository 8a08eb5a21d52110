package realm

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/history"
)

// TestParseTime: the borders of RFC 3339.
func TestParseTime(t *testing.T) {
	t.Attr("checklist", "PUB-51")
	const long = 40_000
	for _, c := range []struct {
		text, same string // in the form of time.RFC3339Nano; "": it is none
		inexact    bool
	}{
		{text: "2026-06-01T12:00:00Z", same: "2026-06-01T12:00:00Z"},
		{text: "2026-06-01t12:00:00z", same: "2026-06-01T12:00:00Z"},
		{text: "2026-06-01T12:00:00+00:00", same: "2026-06-01T12:00:00Z"},
		{text: "2026-06-01T12:00:00-00:00", same: "2026-06-01T12:00:00Z"},
		{text: "2026-06-01T12:00:00+23:59", same: "2026-05-31T12:01:00Z"},
		{text: "2026-06-01T12:00:00-23:59", same: "2026-06-02T11:59:00Z"},
		{text: "0000-01-01T00:00:00Z", same: "0000-01-01T00:00:00Z"},
		{text: "0001-01-01T00:00:00+00:01", same: "0000-12-31T23:59:00Z"},
		{text: "9999-12-31T23:59:59Z", same: "9999-12-31T23:59:59Z"},
		{text: "2026-12-31T23:59:59.999999999Z", same: "2026-12-31T23:59:59.999999999Z"},

		// Months and their days.
		{text: "2024-02-29T00:00:00Z", same: "2024-02-29T00:00:00Z"},
		{text: "2000-02-29T00:00:00Z", same: "2000-02-29T00:00:00Z"},
		{text: "2026-02-29T00:00:00Z"},
		{text: "1900-02-29T00:00:00Z"},
		{text: "2024-02-30T00:00:00Z"},
		{text: "2026-04-30T00:00:00Z", same: "2026-04-30T00:00:00Z"},
		{text: "2026-04-31T00:00:00Z"},
		{text: "2026-12-32T00:00:00Z"},
		{text: "2026-06-00T00:00:00Z"},
		{text: "2026-00-01T00:00:00Z"},
		{text: "2026-13-01T00:00:00Z"},

		// Hours, minutes, seconds, and offsets.
		{text: "2026-06-01T00:00:00Z", same: "2026-06-01T00:00:00Z"},
		{text: "2026-06-01T23:59:00Z", same: "2026-06-01T23:59:00Z"},
		{text: "2026-06-01T24:00:00Z"},
		{text: "2026-06-01T12:60:00Z"},
		{text: "2026-06-01T12:00:61Z"},
		{text: "2026-06-01T12:00:00+24:00"},
		{text: "2026-06-01T12:00:00-24:00"},
		{text: "2026-06-01T12:00:00+12:60"},

		// Leap seconds.
		{text: "1990-12-31T23:59:60Z", same: "1991-01-01T00:00:00Z"},
		{text: "1990-12-31T15:59:60-08:00", same: "1991-01-01T00:00:00Z"},
		{text: "1991-01-01T00:29:60+00:30", same: "1991-01-01T00:00:00Z"},
		{text: "2026-06-30T23:59:60.25z", same: "2026-07-01T00:00:00.25Z"},
		{text: "2026-06-29T23:59:60Z"},
		{text: "2026-06-30T23:58:60Z"},
		{text: "2026-06-30T22:59:60Z"},
		{text: "2026-06-30T23:59:60+01:00"},
		{text: "2026-07-01T00:00:60Z"},
		{text: "2026-06-30T23:59:61Z"},

		// Fractions.
		{text: "2026-06-01T12:00:00.5Z", same: "2026-06-01T12:00:00.5Z"},
		{text: "2026-06-01T12:00:00.000000001+00:00", same: "2026-06-01T12:00:00.000000001Z"},
		{text: "2026-06-01T12:00:00.0000000001Z", same: "2026-06-01T12:00:00Z", inexact: true},
		{text: "2026-06-01T12:00:00.1234567899Z", same: "2026-06-01T12:00:00.123456789Z", inexact: true},
		{text: "2026-06-01T12:00:00.1234567890Z", same: "2026-06-01T12:00:00.123456789Z"},
		{text: "2026-06-01T12:00:00.1" + strings.Repeat("0", long) + "Z", same: "2026-06-01T12:00:00.1Z"},
		{
			text: "2026-06-01T12:00:00.1" + strings.Repeat("0", long) + "1Z", same: "2026-06-01T12:00:00.1Z",
			inexact: true,
		},
		{text: "2026-06-01T12:00:00.Z"},
		{text: "2026-06-01T12:00:00,5Z"},
		{text: "2026-06-01T12:00:00.5"},
		{text: "2026-06-01T12:00:00.5.5Z"},

		// The form.
		{text: ""},
		{text: "2026-06-01"},
		{text: "2026-06-01T12:00Z"},
		{text: "2026-06-01T12:00:00"},
		{text: "2026-06-01 12:00:00Z"},
		{text: "2026-06-01T12:00:00 Z"},
		{text: " 2026-06-01T12:00:00Z"},
		{text: "2026-06-01T12:00:00Z "},
		{text: "2026-06-01T12:00:00Z+00:00"},
		{text: "2026-06-01T12:00:00+0000"},
		{text: "2026-06-01T12:00:00+00"},
		{text: "2026-06-01T12:00:00+00:0"},
		{text: "2026-06-01T12:00:00+00:000"},
		{text: "2026-06-01T12:00:00*00:00"},
		{text: "2026-06-01T2:00:00Z"},
		{text: "2026-6-01T12:00:00Z"},
		{text: "2026-06-1T12:00:00Z"},
		{text: "26-06-01T12:00:00Z"},
		{text: "12026-06-01T12:00:00Z"},
		{text: "-026-06-01T12:00:00Z"},
		{text: "+026-06-01T12:00:00Z"},
		{text: "2026-06-01T+2:00:00Z"},
		{text: "2026-06-01T12:00:00Y"},
		{text: "2026-06-01\x7412:00:00\x9a"},
		{text: "2026M06-01T12:00:00Z"}, // M and - differ by the bit of the case
		{text: "2026-06-01T12\x1a00:00Z"},
		{text: "2026-06-01T12Z00:00Z"},
		{text: "２026-06-01T12:00:00Z"},
	} {
		name := c.text[:min(len(c.text), 50)]
		got, exact, ok := parseTime(c.text)
		switch {
		case ok != (c.same != ""):
			t.Errorf("%q: %t", name, ok)
		case ok && (got.Format(time.RFC3339Nano) != c.same || exact == c.inexact):
			t.Errorf("%q is %s, exact %t; want %s", name, got.Format(time.RFC3339Nano), exact, c.same)
		}
	}
}

// FuzzParseTime: what time.Parse takes and writes back alike is the same here, and what is taken here is of the form.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2026-06-01T12:00:00.5+01:00", "2026-06-30t23:59:60z", "2026-06-01T2:00:00,5Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, exact, ok := parseTime(text)
		want, err := time.Parse(time.RFC3339, text)
		switch {
		case err == nil && want.Format(time.RFC3339Nano) == text && (!ok || !exact || !got.Equal(want)):
			t.Errorf("%q is %v, %t, %t", text, got, exact, ok)
		case ok && err == nil && !got.Equal(want):
			t.Errorf("%q is %v, not %v", text, got, want)
		case ok && err != nil && !strings.Contains(text, ":60") && text == strings.ToUpper(text):
			t.Errorf("%q is taken: %v", text, err)
		}
	})
}

// TestQueryTimes: PUB-44. The four conditions at a nanosecond, and between two.
func TestQueryTimes(t *testing.T) {
	t.Attr("checklist", "PUB-44 PUB-51")
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p := b.join(0)
	at := noon.Add(-2)
	b.router.clock = func() time.Time { at = at.Add(1); return at }
	for i := range 3 {
		p.publish(i+1, "com.h", i)
	}
	b.router.clock = func() time.Time { return noon.Add(time.Second) }
	id := p.lookUp(4, "com.h", "exact")
	request := 5
	for _, c := range []struct {
		condition, text string
		from, until     int64
	}{
		{"from_time", "2026-06-01t12:00:00z", 1, 2},
		{"after_time", "2026-06-01T14:00:00+02:00", 2, 2},
		{"before_time", "2026-06-01T12:00:00.0Z", 0, 0},
		{"until_time", "2026-06-01T12:00:00-00:00", 0, 1},
		{"from_time", "2026-06-01T12:00:00.0000000005Z", 2, 2},
		{"after_time", "2026-06-01T12:00:00.0000000005Z", 2, 2},
		{"before_time", "2026-06-01T12:00:00.0000000005Z", 0, 1},
		{"until_time", "2026-06-01T12:00:00.0000000005Z", 0, 1},
		{"until_time", "2026-05-31T23:59:60Z", 1, 0},
		{"from_time", "2026-05-31T23:59:60Z", 0, 2},
	} {
		got, _ := p.events(request, id, values{c.condition: c.text})
		var want []any
		for n := c.from; n <= c.until; n++ {
			want = append(want, n)
		}
		if len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
			t.Errorf("%s %s: %v, want %v", c.condition, c.text, got, want)
		}
		request++
		p.say(codec.Call, request, values{}, "wamp.subscription.get_events", []any{id}, values{
			c.condition: strings.Replace(c.text, "T", " ", 1) + "x",
		})
		p.refused(codec.Call, request, codec.ErrInvalidArgument)
		request++
	}
}
