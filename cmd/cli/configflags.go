package cli

import (
	"os"

	"github.com/spf13/cobra"

	"banyan/cmd/config"
)

// A configSource is where a command that speaks about a configuration finds it.
type configSource struct {
	file string
	set  []string
}

func (s *configSource) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", configFile(), "configuration `file`; by default $BANYAN_CONFIG, else banyan.yaml "+
		"here, else /etc/banyan/banyan.yaml; none or empty: the built-in configuration")
	f.Var(&setting{"path=value", "", func(text string) error {
		if err := checkSet(text); err != nil {
			return err
		}
		s.set = append(s.set, text)
		return nil
	}}, "set", "an option that stands above the file, such as limits.calls_max=5; repeatable")
}

// load reads the configuration as serve does. The report has the warnings; with an error it is nil.
func (s *configSource) load() (*config.File, *config.Report, error) {
	c := serveConfig{file: s.file, set: s.set}
	f, report := c.read(os.Environ())
	if f == nil {
		return nil, nil, c.refused(report)
	}
	return f, report, nil
}
