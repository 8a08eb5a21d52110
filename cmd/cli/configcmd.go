package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"banyan/cmd/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration, and describe its options",
		Long: "What a configuration file can say, and what a file says together with the environment.\n" +
			"banyan check finds its mistakes, banyan init writes one.",
		Example: "  banyan config show --config banyan.yaml limits\n" +
			"  banyan config docs limits.calls_max\n" +
			"  banyan config schema >banyan.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShow(), newConfigDocs(), newConfigSchema(), newConfigEnv())
	return cmd
}

func newConfigShow() *cobra.Command {
	var source configSource
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [SECTION]",
		Short: "Show every value that is in force, and where it is from",
		Long: "Show every value that serve would use, and where it is from: the file with its line, a variable of\n" +
			"the environment, --set, or the default. Secrets are hidden.",
		Example: "  banyan config show\n  banyan config show --config banyan.yaml realms.0.users",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, _, err := source.load()
			if err != nil {
				return err
			}
			part := strings.Join(args, "")
			values := f.Values(part)
			if _, known := config.Docs(part); !known && len(values) == 0 {
				return usagef("there is no option %q; banyan config docs lists all", part)
			}
			if !asJSON {
				return printOut(cmd, f.Show(part))
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(append([]config.Value{}, values...))
		},
	}
	source.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the values as JSON")
	return cmd
}

func newConfigDocs() *cobra.Command {
	return &cobra.Command{
		Use:   "docs [OPTION]",
		Short: "Describe an option, a section, or everything",
		Long: "Describe an option, or a section with all that is in it, as Markdown: what it is for, what it may\n" +
			"be, its default, and whether a reload applies it.",
		Example: "  banyan config docs limits.calls_max\n  banyan config docs realms.auth\n" +
			"  banyan config docs >options.md",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, ok := config.Docs(strings.Join(args, ""))
			if !ok {
				return usagef("there is no option %q; banyan config docs lists all", args[0])
			}
			return printOut(cmd, strings.TrimSpace(text)+"\n")
		},
	}
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the file, for editors",
		Long: "Print the JSON Schema of the configuration file. Editors that know YAML use it for completion and\n" +
			"checks: write it beside the file, and name it in the file's first line, as banyan init does.",
		Example: "  banyan config schema >banyan.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printOut(cmd, string(config.Schema()))
		},
	}
}

func newConfigEnv() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "List the variables of the environment that stand above the file",
		Long: "List the variables of the environment that stand above the file. N is the number of an entry, from\n" +
			"0: BANYAN_LISTENERS_0_ADDRESS is the address of the first listener.",
		Example: "  banyan config env\n  BANYAN_LOG_LEVEL=debug banyan serve",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printOut(cmd, strings.Join(config.EnvNames(), "\n")+"\n")
		},
	}
}
