package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"banyan/cmd/config"
)

// A listenSpec is one value of --listen, ADDRESS[,KEY=VALUE…], in the form of an entry of listeners.
type listenSpec struct {
	Address   string            `json:"address"`
	Anonymous string            `json:"anonymous,omitempty"`
	Origins   []string          `json:"origins,omitempty"`
	LongPoll  string            `json:"long_poll,omitempty"`
	File      map[string]string `json:"file,omitempty"`
}

// anonymousChoices are the values of --anonymous and of anonymous= in --listen.
var anonymousChoices = []string{"local", "anywhere", "none"}

// parseListen reads one value of --listen.
func parseListen(text string) (listenSpec, error) {
	address, rest, some := strings.Cut(text, ",")
	s := listenSpec{Address: address}
	if err := checkOption("listeners.*.address", address); err != nil {
		return s, err
	}
	var given []string
	for some {
		var option string
		option, rest, some = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(option, "=")
		if slices.Contains(given, key) {
			return s, fmt.Errorf("%s= is given twice", key)
		}
		given = append(given, key)
		switch key {
		case "anonymous":
			if !slices.Contains(anonymousChoices, value) {
				return s, fmt.Errorf("anonymous=%s: use %s", value, orList(anonymousChoices))
			}
			s.Anonymous = value
		case "long_poll":
			if err := checkOption("listeners.*.long_poll", value); err != nil {
				return s, fmt.Errorf("long_poll=%s: %w", value, err)
			}
			if value == "" {
				return s, errors.New("long_poll= has no value")
			}
			s.LongPoll = value
		case "mode", "owner", "group":
			if !strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix:@") {
				return s, fmt.Errorf("%s= is for the file of a Unix socket", key)
			}
			if err := checkOption("listeners.*.file."+key, value); err != nil {
				return s, fmt.Errorf("%s=%s: %w", key, value, err)
			}
			if value == "" {
				return s, errors.New(key + "= has no value")
			}
			if s.File == nil {
				s.File = map[string]string{}
			}
			s.File[key] = value
		default:
			return s, fmt.Errorf("there is no option %q; behind the address, separated by commas, are possible: "+
				"anonymous=, long_poll=, mode=, owner= and group=", key)
		}
	}
	return s, nil
}

// checkOption refuses a text that an option cannot have.
func checkOption(path, text string) error {
	o, ok := config.LookUp(path)
	if !ok {
		panic("no option " + path)
	}
	return o.Check(text)
}
