package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"banyan/bench/client"
)

// parseArguments reads positional arguments: a word that is valid JSON is that value, any other is a string. 'text'
// in single quotes is always a string.
func parseArguments(words []string) []any {
	args := make([]any, 0, len(words))
	for _, w := range words {
		if len(w) >= 2 && w[0] == '\'' && w[len(w)-1] == '\'' {
			args = append(args, w[1:len(w)-1])
			continue
		}
		v, err := parseJSON(w)
		if err != nil {
			v = w
		}
		args = append(args, v)
	}
	return args
}

// parseDict reads a flag that holds a JSON object; empty is none.
func parseDict(flag, text string) (map[string]any, error) {
	if text == "" {
		return nil, nil
	}
	v, err := parseJSON(text)
	if err != nil {
		return nil, usagef("--%s is no JSON: %v", flag, err)
	}
	d, ok := v.(map[string]any)
	if !ok {
		return nil, usagef("--%s must be a JSON object, for instance '{\"key\": 1}'", flag)
	}
	return d, nil
}

// parseJSON decodes one JSON value, with integers exact.
func parseJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return exact(v)
}

// exact turns json.Numbers into int64, uint64 or float64 where these hold them, and WAMP's binary strings (PROTOCOL
// 14.2) into bytes.
func exact(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u, nil
		}
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return f, nil
		}
		return v, nil
	case string:
		if strings.HasPrefix(v, "\x00") {
			if b, err := base64.StdEncoding.DecodeString(v[1:]); err == nil {
				return b, nil
			}
		}
	case []any:
		for i := range v {
			var err error
			if v[i], err = exact(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			var err error
			if v[k], err = exact(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// toJSON returns a received value as one line of JSON. Binary is written as PROTOCOL 14.2 says; a number that JSON
// does not have is null.
func toJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(printable(v)); err != nil {
		return strconv.Quote(fmt.Sprint(v))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func printable(v any) any {
	switch v := v.(type) {
	case []byte:
		return "\x00" + base64.StdEncoding.EncodeToString(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return json.RawMessage(strconv.FormatFloat(v, 'f', 1, 64)) // 1.0 stays a float
		}
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = printable(v[i])
		}
		return l
	case map[string]any:
		d := make(map[string]any, len(v))
		for k := range v {
			d[k] = printable(v[k])
		}
		return d
	}
	return v
}

// payloadLine returns arguments and keyword arguments for people: ["hi", 2] {"k": 1}.
func payloadLine(v *client.Values) string {
	args := v.Args
	if args == nil {
		args = []any{}
	}
	line := toJSON(args)
	if len(v.Kwargs) > 0 {
		line += " " + toJSON(v.Kwargs)
	}
	return line
}

// A record is one line of --json output.
type record map[string]any

// withPayload adds args and kwargs, always both: stable fields.
func (r record) withPayload(v *client.Values) record {
	r["args"], r["kwargs"] = []any{}, map[string]any{}
	if v.Args != nil {
		r["args"] = v.Args
	}
	if v.Kwargs != nil {
		r["kwargs"] = v.Kwargs
	}
	return r
}

func (r record) String() string { return toJSON(map[string]any(r)) }
