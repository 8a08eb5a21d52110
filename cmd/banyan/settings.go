package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A setting is a flag whose value is checked when it is parsed, so that a wrong one is a usage error that names the
// flag.
type setting struct {
	kind  string // in the help, behind the name
	text  string // the value as it was written
	parse func(text string) error
}

// Set implements pflag.Value.
func (s *setting) Set(text string) error {
	if err := s.parse(text); err != nil {
		return err
	}
	s.text = text
	return nil
}

// String implements pflag.Value.
func (s *setting) String() string { return s.text }

// Type implements pflag.Value.
func (s *setting) Type() string { return s.kind }

// A flagGroup is a part of a command's flags under a title of its own.
type flagGroup struct {
	title string
	*pflag.FlagSet
}

func newFlagGroup(title string) flagGroup {
	f := pflag.NewFlagSet(title, pflag.ContinueOnError)
	f.SortFlags = false
	return flagGroup{title, f}
}

// groupFlags gives cmd the flags of all groups, and a help that shows them under their titles.
func groupFlags(cmd *cobra.Command, groups []flagGroup) {
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.FlagSet)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, g := range groups {
			fmt.Fprintf(w, "\n%s\n%s", g.title, g.FlagUsagesWrapped(helpColumns))
		}
		return nil
	})
}

// helpColumns is how wide the help is.
const helpColumns = 120

// count is a flag for a number from least to most.
func (g flagGroup) count(p *int, name string, otherwise, least, most int, usage string) {
	*p = otherwise
	g.Var(&setting{"count", strconv.Itoa(otherwise), func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a number %s",
				between(strconv.Itoa(least), strconv.Itoa(most), most == math.MaxInt))
		}
		*p = n
		return nil
	}}, name, usage)
}

// bytes is a flag for a size from least to most.
func (g flagGroup) bytes(p *int, name string, otherwise, least, most byteSize, usage string) {
	*p = int(otherwise)
	g.Var(&setting{"bytes", otherwise.String(), func(text string) error {
		var b byteSize
		if err := b.Set(text); err != nil {
			return err
		}
		if b < least || b > most {
			return fmt.Errorf("must be a size %s", between(least.String(), most.String(), most == math.MaxInt))
		}
		*p = int(b)
		return nil
	}}, name, usage)
}

// duration is a flag for a time longer than 0 and at most a day: a longer one is a mistake.
func (g flagGroup) duration(p *time.Duration, name string, otherwise time.Duration, usage string) {
	*p = otherwise
	text := "0" // not shown in the help
	if otherwise > 0 {
		text = otherwise.String()
	}
	g.Var(&setting{"duration", text, func(text string) error {
		d, err := time.ParseDuration(text)
		if hint := unitMissing(text); hint != "" {
			return errors.New(hint)
		}
		if err != nil || d <= 0 || d > 24*time.Hour {
			return errors.New("must be a time such as 500ms, 10s or 2m, longer than 0 and at most 24h")
		}
		*p = d
		return nil
	}}, name, usage)
}

// durationOrZero is a flag for a time, or 0.
func (g flagGroup) durationOrZero(p *time.Duration, name string, otherwise time.Duration, usage string) {
	g.duration(p, name, otherwise, usage)
	g.allowZero(name, func() { *p = 0 })
}

// bytesOrZero is a flag for a size of at least least, or 0, which is the default.
func (g flagGroup) bytesOrZero(p *int, name string, least byteSize, usage string) {
	g.bytes(p, name, 0, least, math.MaxInt64, usage)
	g.allowZero(name, func() { *p = 0 })
}

// allowZero makes 0 a value of a flag of this group.
func (g flagGroup) allowZero(name string, set func()) {
	s := g.Lookup(name).Value.(*setting)
	other := s.parse
	s.parse = func(text string) error {
		if strings.Trim(text, "0") == "" && text != "" || text == "0s" {
			set()
			return nil
		}
		if err := other(text); err != nil {
			return fmt.Errorf("%w; 0 is possible, too", err)
		}
		return nil
	}
}

// choice is a flag for one of some words.
func (g flagGroup) choice(p *string, name, otherwise, usage string, of ...string) {
	*p = otherwise
	g.Var(&setting{"word", otherwise, func(text string) error {
		if !slices.Contains(of, text) {
			return fmt.Errorf("use %s", orList(of))
		}
		*p = text
		return nil
	}}, name, usage)
}

// list is a flag that may be repeated; the first one replaces the default.
func (g flagGroup) list(p *[]string, name, kind string, otherwise []string, usage string, check func(string) error) {
	*p = otherwise
	given := false
	g.Var(&setting{kind, strings.Join(otherwise, ", "), func(text string) error {
		if err := check(text); err != nil {
			return err
		}
		if slices.Contains(*p, text) && given {
			return fmt.Errorf("it is given twice")
		}
		if !given {
			*p, given = nil, true
		}
		*p = append(*p, text)
		return nil
	}}, name, usage)
}

func between(least, most string, open bool) string {
	if open {
		return "of at least " + least
	}
	return "from " + least + " to " + most
}

// orList joins words as a sentence has them: a, b or c.
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
