package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"banyan/cmd/config"
	"banyan/realm"
	"banyan/realm/auth"
	"banyan/realm/history"
)

func newCheck() *cobra.Command {
	var source configSource
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file",
		Long: "Read a configuration file as serve does, with everything that it names, and report all problems at\n" +
			"once: each with its place, what is wrong and what to do. Nothing is started, and nothing is fetched\n" +
			"from the network. Variables of the environment count as for serve.\n" +
			"\n" +
			"Exit code 2 if there are errors. Warnings are things that are probably not meant.",
		Example: "  banyan check banyan.yaml\n  banyan check banyan.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				source.file = args[0]
			}
			c := serveConfig{file: source.file, set: source.set}
			f, report := c.read(os.Environ())
			var more error
			if f != nil {
				more = checkInside(f)
			}
			if asJSON {
				return printReport(cmd, report, more)
			}
			fmt.Fprint(cmd.OutOrStdout(), report)
			switch {
			case f == nil && source.file != "":
				return &hintedError{code: exitUsage, what: source.file + ": " + report.Err().Error(), try: tryDocs}
			case f == nil:
				return &hintedError{code: exitUsage, what: report.Err().Error(), try: tryDocs}
			case more != nil:
				return &hintedError{code: exitUsage, what: more.Error(), try: tryDocs}
			}
			name := "the built-in configuration"
			if f.Path != "" {
				name = f.Path
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is fine: %s\n", name, summary(f))
			return nil
		},
	}
	source.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	return cmd
}

const tryDocs = "banyan config docs OPTION, which describes it"

// checkInside checks what only engine and realms know how to check, such as that no user has the router's key.
func checkInside(f *config.File) error {
	k := &keys{
		log: slog.New(slog.DiscardHandler), sets: map[setName]*keySet{}, offline: true,
		cookies: auth.NewCookies(1, time.Second),
	}
	defer k.refuse()
	_, certificates := listenTLS(f.Listeners, nil)
	c, err := realmConfig(f, f.Listeners, 1, k, k.log)
	c.Disk = history.NewMemory(0) // in place of the file, which is not touched
	if err == nil {
		_, err = realm.New(c)
	}
	return errors.Join(certificates, err)
}

// printReport writes a report as JSON. Errors without a place come as problems without one.
func printReport(cmd *cobra.Command, r *config.Report, more error) error {
	out := struct {
		*config.Report
		Problems []config.Problem `json:"problems"`
	}{Report: r, Problems: append([]config.Problem{}, r.Problems...)}
	if more != nil {
		for line := range strings.SplitSeq(more.Error(), "\n") {
			out.Problems = append(out.Problems, config.Problem{Severity: config.Error, Message: line})
			out.Errors++
		}
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return err
	}
	if out.Errors > 0 {
		return &hintedError{code: exitUsage}
	}
	return nil
}

// summary is what a configuration has, in a few words.
func summary(f *config.File) string {
	users := 0
	for i := range f.Realms {
		users += len(f.Realms[i].Users)
	}
	for i := range f.Templates {
		users += len(f.Templates[i].Users)
	}
	parts := []string{counted(len(f.Listeners), "listener"), counted(len(f.Realms), "realm")}
	if len(f.Templates) > 0 {
		parts = append(parts, counted(len(f.Templates), "template"))
	}
	return strings.Join(append(parts, counted(users, "user")), ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

var errKeysLater = errors.New("keys are fetched when the router runs")
