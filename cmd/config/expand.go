//go:build linux

package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME}, ${NAME:-otherwise} and ${NAME:?message} in a value by what lookup knows. $${ stands for
// ${. A $ without a brace is nothing special: hashes of passwords are full of them. What is put in is not expanded
// again, and a variable within the braces of another one is refused.
//
// The libraries for this replace $NAME too, which would empty every such hash.
func expand(t string, lookup func(string) (string, bool)) (string, error) {
	if !strings.Contains(t, "${") {
		return t, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(t, "${")
		if i < 0 {
			b.WriteString(t)
			return b.String(), nil
		}
		if i > 0 && t[i-1] == '$' {
			b.WriteString(t[:i-1])
			b.WriteString("${")
			t = t[i+2:]
			continue
		}
		end := strings.IndexByte(t[i:], '}')
		if end < 0 {
			return "", errors.New("${ without }; write $${ for the text itself")
		}
		if strings.Contains(t[i+2:i+end], "${") {
			return "", errors.New("a variable within the braces of another one is not possible; " +
				"decide between them in the environment")
		}
		b.WriteString(t[:i])
		value, err := variable(t[i+2:i+end], lookup)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		t = t[i+end+1:]
		if b.Len() > textBytesMax {
			return "", fmt.Errorf("the variables make a text of more than %d bytes", textBytesMax)
		}
	}
}

// variable is the value of what stands between the braces.
func variable(inner string, lookup func(string) (string, bool)) (string, error) {
	name, rest, some := strings.Cut(inner, ":")
	if !validName(name) {
		return "", fmt.Errorf("%s is no name of a variable; write ${NAME}, ${NAME:-otherwise} or ${NAME:?message}",
			quote(name))
	}
	value, ok := lookup(name)
	switch {
	case !some && !ok:
		return "", fmt.Errorf("the variable %s is not set; write ${%s:-otherwise} if it may be missing", name, name)
	case !some:
		return value, nil
	case strings.HasPrefix(rest, "-"):
		if value == "" {
			return rest[1:], nil
		}
		return value, nil
	case strings.HasPrefix(rest, "?"):
		if value == "" {
			return "", fmt.Errorf("the variable %s is not set: %s", name, rest[1:])
		}
		return value, nil
	}
	return "", fmt.Errorf("after ${%s: comes - or ?", name)
}

func validName(t string) bool {
	for i, c := range []byte(t) {
		if c != '_' && c|0x20-'a' > 25 && (i == 0 || c-'0' > 9) {
			return false
		}
	}
	return t != ""
}
