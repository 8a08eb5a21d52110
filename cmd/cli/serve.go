package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"banyan/cmd/config"
)

func newServe() *cobra.Command {
	c := &serveConfig{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the router",
		Long: "Run the router: WebSocket (any path; / and /ws are customary), RawSocket and a small page on the\n" +
			"same port.\n" +
			"Without flags it listens on 127.0.0.1:8080 for realm1; anonymous clients of this machine may do\n" +
			"everything. A proxy on this machine counts as this machine unless its upgrade requests say for\n" +
			"whom it forwards: give it a --listen of its own, with anonymous=none.\n" +
			"SIGINT, SIGTERM and the end of its terminal make it say goodbye to every session and stop; a\n" +
			"second signal stops it at once. SIGHUP makes it read the configuration file again, as banyan reload\n" +
			"does.",
		Example: "  banyan serve\n" +
			"  banyan serve --config /etc/banyan/banyan.yaml\n" +
			"  banyan serve --listen 0.0.0.0:8080 --realm app --anonymous anywhere\n" +
			"  banyan serve --listen 127.0.0.1:8080 --listen unix:/run/banyan.sock,group=www-data,anonymous=none",
		Version: buildName(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.lean = true
			return c.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	groupFlags(cmd, c.flags())
	return cmd
}

// warn writes the warnings about a configuration into the log.
func warn(log *slog.Logger, r *config.Report) {
	for _, p := range r.Problems {
		log.Warn("the configuration has something that is probably not meant", "option", p.Path, "at", placeOf(&p),
			"problem", p.Message, "try", p.Hint)
	}
}
