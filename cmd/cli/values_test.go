package cli

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func TestParseArguments(t *testing.T) {
	for _, c := range []struct {
		word string
		want any
	}{
		{"hello", "hello"},
		{"hello world", "hello world"},
		{"", ""},
		{"5", int64(5)},
		{"-5", int64(-5)},
		{"9223372036854775807", int64(math.MaxInt64)},
		{"18446744073709551615", uint64(math.MaxUint64)},
		{"18446744073709551616", json.Number("18446744073709551616")},
		{"1e400", json.Number("1e400")},
		{"1.0", 1.0},
		{"1e3", 1000.0},
		{"'5'", "5"},
		{"''", ""},
		{"'", "'"},
		{`"5"`, "5"},
		{"true", true},
		{"null", nil},
		{"[1, 2", "[1, 2"},
		{"1 2", "1 2"},
		{`[1, "a", {"k": 2.5}]`, []any{int64(1), "a", map[string]any{"k": 2.5}}},
		{`"\u0000AQID"`, []byte{1, 2, 3}},
		{`"\u0000!"`, "\x00!"},
	} {
		if got := parseArguments([]string{c.word})[0]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %#v, want %#v", c.word, got, c.want)
		}
	}
}

func TestToJSON(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "null"},
		{int64(5), "5"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{[]any{json.Number("-18446744073709551616")}, "[-18446744073709551616]"},
		{1.0, "1.0"},
		{0.5, "0.5"},
		{math.NaN(), "null"},
		{math.Inf(1), "null"},
		{"<a & b>", `"<a & b>"`},
		{[]byte{1, 2, 3}, `"\u0000AQID"`},
		{map[string]any{"k": []any{[]byte{}, 2.0}}, `{"k":["\u0000",2.0]}`},
	} {
		if got := toJSON(c.value); got != c.want {
			t.Errorf("%#v: got %s, want %s", c.value, got, c.want)
		}
	}
}
