//go:build linux

package config

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed example.yaml
var example string

// Example is an annotated file. It loads without a problem and works as it is: 127.0.0.1:8080, realm1, anonymous
// clients of this machine. What it shows beyond that is commented out and can be taken in section by section.
func Example() string { return example }

const (
	off           = "#-" // begins a line of the example that is commented out
	commentColumn = 38   // where the comments behind keys begin
)

// ExampleWith is the example with a folder for the control socket, a users file, and methods that are on: ticket,
// wamp-scram or cryptosign. The users may have the role service. tls turns on the listener public.
func ExampleWith(usersFile, dataDir string, methods []string, tls bool) string {
	lines := strings.Split(example, "\n")
	var block string // the entry that a line is in and that is on, by its beginning
	for i, line := range lines {
		rest, isOff := strings.CutPrefix(line, off)
		key := strings.TrimSpace(rest)
		switch {
		case !isOff:
			block = ""
		case strings.HasPrefix(key, "- name: service"), strings.HasPrefix(key, "- name: public") && tls:
			block = key
		case strings.HasPrefix(rest, "  - "):
			block = ""
		}
		on := block != ""
		for _, m := range methods {
			on = on || isOff && strings.HasPrefix(key, m+": {}")
		}
		switch {
		case on:
			lines[i] = rest
		case isOff && strings.HasPrefix(key, "users_file: users.yaml"):
			lines[i] = strings.Replace(rest, "users.yaml", usersFile, 1)
		case strings.HasPrefix(key, `data_dir: ""`):
			lines[i] = strings.Replace(line, `""`, dataDir, 1)
		}
		if strings.HasPrefix(key, "auth_methods: [") {
			before, after, _ := strings.Cut(lines[i], "[")
			_, after, _ = strings.Cut(after, "]")
			lines[i] = before + "[" + strings.Join(methods, ", ") + "]" + after
		}
		if lines[i] != line {
			lines[i] = aligned(lines[i])
		}
	}
	return strings.Join(lines, "\n")
}

// aligned puts the comment behind a key, if there is one, into its column.
func aligned(line string) string {
	i := strings.LastIndex(line, " # ")
	if i < 0 {
		return line
	}
	key := strings.TrimRight(line[:i], " ")
	if key == "" { // all of the line is a comment
		return line
	}
	return fmt.Sprintf("%-*s%s", commentColumn, key, line[i+1:])
}
