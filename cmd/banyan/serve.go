package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// A serveConfig is what the flags of serve say.
type serveConfig struct {
	listen       []string
	realms       []string
	loops        int
	logLevel     string
	anonymous    string
	messageBytes byteSize
	backlogBytes byteSize
	slowConsumer string
	origins      []string
	connections  int
	strictURIs   bool
	cpuProfile   string
	profileRate  int

	shutdownTimeout time.Duration
}

func newServe() *cobra.Command {
	var c serveConfig
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the router",
		Long: "Run the router: WebSocket (any path; / and /ws are customary), RawSocket and a small page on the same port.\n" +
			"Without flags it listens on 127.0.0.1:8080 for realm1; anonymous clients of this machine may do everything.\n" +
			"SIGINT, SIGTERM and the end of its terminal make it say goodbye to every session and stop; a second signal stops it at once.",
		Example: "  banyan serve\n  banyan serve --listen 0.0.0.0:8080 --listen unix:/run/banyan.sock --realm app --anonymous anywhere",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&c.listen, "listen", []string{"127.0.0.1:8080"}, "address to listen on, HOST:PORT or unix:PATH; repeatable")
	f.StringArrayVar(&c.realms, "realm", []string{defaultRealm}, "realm to offer; repeatable")
	f.IntVar(&c.loops, "loops", 0, "event loops, 1 to 64; 0 is one per CPU granted")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.anonymous, "anonymous", "local", "who may join without authentication: local (this machine) or anywhere")
	f.Var(&c.messageBytes, "message-bytes-max", "longest message accepted, for instance 1MiB; default and limit 16MiB")
	f.Var(&c.backlogBytes, "backlog-bytes-max", "unsent bytes that a connection may hold; default 64MiB")
	f.StringVar(&c.slowConsumer, "slow-consumer", "disconnect", "at that bound: disconnect, or drop-newest events")
	f.StringArrayVar(&c.origins, "origin", nil, "browser origin to allow besides the own host, * for all; repeatable")
	f.IntVar(&c.connections, "connections-max", 0, "most connections at once; 0 is what the file limit allows")
	f.BoolVar(&c.strictURIs, "strict-uris", false, "accept only URIs of the strict form (lower case, digits, underscore)")
	f.DurationVar(&c.shutdownTimeout, "shutdown-timeout", stopTimeout, "longest time that a stop may take in all")
	f.StringVar(&c.cpuProfile, "cpu-profile", "", "write a CPU profile of the whole run to this file; banyan prof reads it")
	f.IntVar(&c.profileRate, "cpu-profile-rate", profileRateDefault, "samples per second of CPU time, 1 to 500; many kernels give no more than 250")
	return cmd
}

// serve runs the router until ctx ends.
func (c *serveConfig) serve(ctx context.Context, out, errs io.Writer) error {
	level, err := parseLevel(c.logLevel)
	if err != nil {
		return err
	}
	// The end of a reader of the banner or the log is not the end of the router: writing to it fails, and that is all.
	signal.Ignore(syscall.SIGPIPE)
	say := newConsole(out, errs, level)
	defer say.close()
	r, err := c.start(say.log, true)
	if err != nil {
		return err
	}
	c.announce(say.out, r.engine.Addrs())
	profiled, err := startProfile(c.cpuProfile, c.profileRate)
	if err != nil {
		return errors.Join(err, r.stop())
	}
	say.log.Info("started", "pid", os.Getpid(), "listen", r.engine.Addrs())
	keepMemory(untilHangup(ctx, say.log).Done(), func() int64 { return r.engine.Stats().Connections })
	fmt.Fprintln(say.out, "stopping; once more to stop at once")
	say.log.Info("stopping", "connections", r.engine.Stats().Connections)
	if err := errors.Join(r.stop(), profiled()); err != nil {
		say.log.Error("the router did not end in good order", "error", err)
		return errSaid
	}
	say.log.Info("stopped")
	return nil
}
