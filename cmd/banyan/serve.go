package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"banyan/engine"
	"banyan/realm"
)

const stopTimeout = 10 * time.Second

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
}

func newServe() *cobra.Command {
	var c serveConfig
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the router",
		Long: "Run the router: WebSocket (any path; / and /ws are customary), RawSocket and a small page on the same port.\n" +
			"Without flags it listens on 127.0.0.1:8080 for realm1; anonymous clients of this machine may do everything.\n" +
			"SIGINT and SIGTERM say goodbye to every session and stop; a second one stops at once.",
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
	keepMemory(ctx.Done(), func() int64 { return r.engine.Stats().Connections })
	fmt.Fprintln(say.out, "stopping; once more to stop at once")
	if err := errors.Join(r.stop(), profiled()); err != nil {
		say.log.Error("the router did not end in good order", "error", err)
		return errSaid
	}
	return nil
}

// profileRateDefault is the rate of package pprof.
const profileRateDefault = 100

// startProfile begins a CPU profile and returns what ends it; without a file both do nothing.
func startProfile(file string, rate int) (end func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if rate != profileRateDefault {
		// The first to set the rate wins. The runtime complains on stderr when pprof sets its own next, and that is all it does.
		runtime.SetCPUProfileRate(rate)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// A router is the engine and the realms behind it, running.
type router struct {
	engine *engine.Engine
	realms *realm.Router
}

// start checks the flags, binds the listeners and starts the loops. dedicated says that the process has nothing else to do.
func (c *serveConfig) start(log *slog.Logger, dedicated bool) (*router, error) {
	if c.loops < 0 || c.loops > 64 {
		return nil, usagef("--loops %d: must be 1 to 64, or 0", c.loops)
	}
	if c.cpuProfile != "" && (c.profileRate < 1 || c.profileRate > 500) {
		return nil, usagef("--cpu-profile-rate %d: must be 1 to 500", c.profileRate)
	}
	loops := c.loops
	if loops == 0 {
		loops = min(runtime.GOMAXPROCS(0), 64)
	}
	if c.anonymous != "local" && c.anonymous != "anywhere" {
		return nil, usagef("--anonymous %q: use local or anywhere", c.anonymous)
	}
	policy := engine.Disconnect
	switch c.slowConsumer {
	case "disconnect":
	case "drop-newest":
		policy = engine.DropNewest
	default:
		return nil, usagef("--slow-consumer %q: use disconnect or drop-newest", c.slowConsumer)
	}
	rc := realm.Config{Agent: "Banyan " + version, Loops: loops, Log: log}
	for _, uri := range c.realms {
		rc.Realms = append(rc.Realms, realm.RealmConfig{
			URI: uri, AnonymousAnywhere: c.anonymous == "anywhere", StrictURIs: c.strictURIs,
		})
	}
	realms, err := realm.New(rc)
	if err != nil {
		return nil, usagef("%v", err)
	}
	e, err := engine.New(engine.Config{
		Dedicated: dedicated,
		Listen:    c.listen, Loops: loops, MessageBytesMax: int(c.messageBytes), BacklogBytesMax: int(c.backlogBytes),
		SlowConsumer: policy, Origins: c.origins, ConnectionsMax: c.connections, Page: page, Log: log,
	}, realms.Open)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if dedicated {
		runtime.GOMAXPROCS(loops + 1) // a P for each loop, which keeps it, and one for whatever else there is
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return &router{engine: e, realms: realms}, nil
}

// stop says goodbye to every session and ends the loops.
func (r *router) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return r.engine.Stop(ctx)
}

// announce tells where to connect and what to try next.
func (c *serveConfig) announce(w io.Writer, addrs []net.Addr) {
	fmt.Fprintf(w, "banyan %s\n", buildName())
	flags := ""
	for i, a := range addrs {
		if a.Network() == "unix" {
			fmt.Fprintf(w, "  RawSocket  unix:%s\n  WebSocket  ws+unix:%s\n", a, a)
			if i == 0 {
				flags = " --url unix:" + a.String()
			}
			continue
		}
		host := reachable(a)
		fmt.Fprintf(w, "  WebSocket  ws://%s/ws\n  RawSocket  rs://%s\n  page       http://%s/\n", host, host, host)
		if i == 0 && "ws://"+host+"/ws" != defaultURL {
			flags = " --url ws://" + host + "/ws"
		}
	}
	who := "anonymous clients of this machine may do everything"
	if c.anonymous == "anywhere" {
		who = "ANYBODY who reaches the port may do everything"
	}
	fmt.Fprintf(w, "  realms     %s   (%s)\n", strings.Join(c.realms, ", "), who)
	if c.realms[0] != defaultRealm {
		flags += " --realm " + c.realms[0]
	}
	fmt.Fprintf(w, "\n  next, in another terminal:\n    banyan sub com.example.hello%s\n    banyan pub com.example.hello hi%s\n\n", flags, flags)
}

// reachable is the address to type: an unspecified one is reached by loopback.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
}
