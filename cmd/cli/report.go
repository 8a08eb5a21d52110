package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"banyan/bench/load"
	"banyan/bench/report"
)

// An outFolder is the folder that --out names: the report as a page, as JSON, and for HDR plotters.
type outFolder string

func (o *outFolder) flag(cmd *cobra.Command, preset string) {
	cmd.Flags().StringVar((*string)(o), "out", preset,
		"write report.html, results.json and latency.hgrm into this folder")
}

// write writes the reports of one command, if a folder was named, and says so.
func (o outFolder) write(cmd *cobra.Command, reports ...*load.Report) error {
	if o == "" {
		return nil
	}
	return o.writeDocument(cmd, report.New(commandLine(), reports...))
}

func (o outFolder) writeDocument(cmd *cobra.Command, d *report.Document) error {
	names, err := d.Write(string(o))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wrote      %s: %s\n", string(o), strings.Join(names, "  "))
	return nil
}

// commandLine is the command as typed, without the folder of the program.
func commandLine() string {
	return strings.Join(append([]string{"banyan"}, os.Args[1:]...), " ")
}
