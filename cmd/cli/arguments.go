package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Mistakes on the command line, told in the words of the command's usage line, with what may have been meant.

// judgeCommandLine makes cmd and all commands below it judge their arguments by their usage lines, and explain the
// flags that they do not know.
func judgeCommandLine(cmd *cobra.Command) {
	cmd.Args = judgeArguments
	cmd.SetFlagErrorFunc(explainFlag)
	for _, c := range cmd.Commands() {
		judgeCommandLine(c)
	}
}

// judgeArguments holds the arguments against the usage line: "call PROCEDURE [ARG…]" has one that must be there, and
// any number of others behind it.
func judgeArguments(cmd *cobra.Command, args []string) error {
	var names []string
	needed, open := 0, false
	for _, name := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(name, "-") {
			break
		}
		names = append(names, name)
		if !strings.HasPrefix(name, "[") {
			needed++
		}
		open = open || strings.Contains(name, "…")
	}
	switch {
	case len(args) < needed:
		missing := strings.TrimSuffix(names[len(args)], "…")
		return misused(cmd, "the argument %s is missing", missing)
	case open || len(args) <= len(names):
		return nil
	case cmd.HasSubCommands() && (len(names) == 0 || didYouMean(similarCommands(cmd, args[0])) != ""):
		return unknownCommand(cmd, args[0])
	case len(names) == 0:
		return misused(cmd, "%s has no arguments, only flags: %q is too much", cmd.CommandPath(), args[0])
	}
	return misused(cmd, "%q is too much: %s is all that %s takes", args[len(names)], strings.Join(names, " "),
		cmd.CommandPath())
}

// misused is a usage error that shows the usage line.
func misused(cmd *cobra.Command, format string, args ...any) error {
	return &hintedError{
		code: exitUsage, what: fmt.Sprintf(format, args...), why: errors.New("usage: " + cmd.UseLine()),
		try: cmd.CommandPath() + " --help",
	}
}

// unknownCommand is the usage error for a word where a command of parent should be.
func unknownCommand(parent *cobra.Command, name string) error {
	return &hintedError{
		code: exitUsage,
		what: fmt.Sprintf("unknown command %q for %q", name, parent.CommandPath()) +
			didYouMean(similarCommands(parent, name)),
		try: parent.CommandPath() + " --help",
	}
}

// similarCommands returns the commands of parent that name may be a misspelling of.
func similarCommands(parent *cobra.Command, name string) []string {
	parent.SuggestionsMinimumDistance = mistakesIn(name)
	return parent.SuggestionsFor(name)
}

// explainFlag improves what pflag says of a flag that is not there, or of a time without its unit.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if words := cmd.Flags().Args(); len(words) > 0 && cmd.HasSubCommands() && cmd.Use == cmd.Name() {
			return unknownCommand(cmd, words[0]) // the flag is one of the command that was meant
		}
		name, dashes := unknown.GetSpecifiedName(), "--"
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name, dashes = short, "-"
		}
		return usagef("unknown flag %s%s%s", dashes, name, didYouMean(similarFlags(cmd, name)))
	case errors.As(err, &wrong) && wrong.GetFlag().Value.Type() == "duration":
		if hint := unitMissing(wrong.GetValue()); hint != "" {
			return usagef("--%s %s: %s", wrong.GetFlag().Name, wrong.GetValue(), hint)
		}
	}
	return err
}

// similarFlags returns the flags of cmd, with their dashes, that name may be a misspelling of. Cobra knows how to
// find similar commands only, so the flags are made commands for that.
func similarFlags(cmd *cobra.Command, name string) []string {
	name, _, _ = strings.Cut(name, "=")
	names := &cobra.Command{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	similar := similarCommands(names, name)
	for i := range similar {
		similar[i] = "--" + similar[i]
	}
	return similar
}

// mistakesIn is how many letters of a word may be wrong for another word to be meant: two, or one in a short word.
func mistakesIn(word string) int {
	if len(word) < 5 {
		return 1
	}
	return 2
}

// similarMax is how many words are proposed; more are no help.
const similarMax = 4

func didYouMean(words []string) string {
	if len(words) == 0 || len(words) > similarMax {
		return ""
	}
	slices.Sort(words)
	return ": did you mean " + orList(words) + "?"
}

var numberOnly = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// unitMissing says what to write instead of a time that is only a number, or returns "".
func unitMissing(text string) string {
	if d, err := time.ParseDuration(text + "s"); err != nil || d == 0 || !numberOnly.MatchString(text) {
		return ""
	}
	return fmt.Sprintf("the unit is missing; use %ss for seconds, or another of ms, s, m and h", text)
}

// judgeHelp makes cobra's help command refuse commands that are not there. Cobra prints the help of the root instead,
// and ends with exit code 0.
func judgeHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		panic(err) // it was made a moment ago
	}
	help.Use = "help [COMMAND…]"
	show := help.Run
	help.Run = nil
	help.RunE = func(cmd *cobra.Command, names []string) error {
		about := root
		for _, name := range names {
			i := slices.IndexFunc(about.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
			if i < 0 {
				return unknownCommand(about, name)
			}
			about = about.Commands()[i]
		}
		show(cmd, names)
		return nil
	}
}
