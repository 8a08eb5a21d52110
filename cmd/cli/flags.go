package cli

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A setting is a flag whose value is checked when it is parsed, so that a wrong one is a usage error that names the
// flag.
type setting struct {
	kind  string // in the help, behind the name
	text  string // the value as it was written, or the default
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
			return fmt.Errorf("must be a number %s", between(least, most))
		}
		*p = n
		return nil
	}}, name, usage)
}

// choice is a flag for one of some words.
func (g flagGroup) choice(p *string, name, otherwise, usage string, of ...string) {
	g.Var(&setting{"word", otherwise, func(text string) error {
		if !slices.Contains(of, text) {
			return errors.New("use " + orList(of))
		}
		*p = text
		return nil
	}}, name, usage)
}

// list is a flag that may be repeated; the first one replaces the default.
func (g flagGroup) list(p *[]string, name, kind, otherwise, usage string, check func(string) error) {
	g.Var(&setting{kind, otherwise, func(text string) error {
		if err := check(text); err != nil {
			return err
		}
		if slices.Contains(*p, text) {
			return errors.New("it is given twice")
		}
		*p = append(*p, text)
		return nil
	}}, name, usage)
}

func between(least, most int) string {
	if most == math.MaxInt {
		return fmt.Sprintf("of at least %d", least)
	}
	return fmt.Sprintf("from %d to %d", least, most)
}

// orList joins words as a sentence has them: a, b or c.
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
