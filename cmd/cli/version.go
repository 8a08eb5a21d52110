package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const version = "0.1.0"

func newVersion() *cobra.Command {
	var modules bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "banyan %s\n", buildName())
			if info, ok := debug.ReadBuildInfo(); modules && ok {
				listModules(out, info)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&modules, "modules", false, "list the modules in this binary too")
	return cmd
}

// listModules writes a line for each module in the binary: its path and version.
func listModules(out io.Writer, info *debug.BuildInfo) {
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		fmt.Fprintf(out, "%s %s\n", m.Path, m.Version)
	}
}

// buildName is the version with what it was built from and for.
func buildName() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		dirty := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 8:
				commit = " " + s.Value[:8]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+"
			}
		}
		if commit != "" {
			commit += dirty
		}
	}
	return fmt.Sprintf("%s%s (%s %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
