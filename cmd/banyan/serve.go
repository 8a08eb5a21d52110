package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"banyan/cmd/banyan/config"
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
			"second signal stops it at once.",
		Example: "  banyan serve\n" +
			"  banyan serve --listen 0.0.0.0:8080 --realm app --anonymous anywhere\n" +
			"  banyan serve --listen 127.0.0.1:8080 --listen unix:/run/banyan.sock,group=www-data,anonymous=none",
		Version: buildName(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	groupFlags(cmd, c.flags())
	return cmd
}

// serve runs the router until ctx ends.
func (c *serveConfig) serve(ctx context.Context, out, errs io.Writer) error {
	f, report, err := c.load(os.Environ())
	if err != nil {
		return err
	}
	level, err := parseLevel(f.Log.Level)
	if err != nil {
		return err
	}
	// The end of a reader of the banner or the log is not the end of the router: writing to it fails, that is all.
	signal.Ignore(syscall.SIGPIPE)
	say := newConsole(out, errs, level)
	defer say.close()
	ctx = untilHangup(ctx, say.log) // before anybody can know that the router is there
	r, err := newRouter(f, say.log, true)
	if err != nil {
		return err
	}
	profiled, err := startProfile(c.cpuProfile, c.profileRate)
	if err != nil {
		return errors.Join(usagef("--cpu-profile: %v", err), r.stop())
	}
	announce(say.out, f, r.engine.Addrs(), r.engine.ConnectionsMax())
	warn(say.log, report)
	warnOfFiles(say.log, f, r.engine.ConnectionsMax())
	say.log.Info("started", "pid", os.Getpid(), "listen", r.engine.Addrs())
	spaced := spaceCollections()
	keepMemory(ctx.Done(), r)
	spaced()
	fmt.Fprintln(say.out, "stopping; once more to stop at once")
	say.log.Info("stopping", "connections", r.engine.Stats().Connections)
	if err := errors.Join(r.stop(), profiled()); err != nil {
		say.log.Error("the router did not end in good order", "error", err)
		return errSaid
	}
	say.log.Info("stopped")
	return nil
}

// warn writes the warnings about a configuration into the log.
func warn(log *slog.Logger, r *config.Report) {
	for _, p := range r.Problems {
		at := p.Source
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		}
		log.Warn("the configuration has something that is probably not meant", "option", p.Path, "at", at,
			"problem", p.Message, "try", p.Hint)
	}
}
