package compare

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"banyan/bench"
	"banyan/bench/report"
)

const realm = "realm1"

// Names lists the peers.
func Names() []string {
	return []string{"banyan", report.FloorName, "nexus", "xconn", "nats", "crossbar"}
}

// A peer is a router that can be started.
type peer struct {
	// Fixed by prepare.
	name    string
	version string
	command func(address string) []string // the program first
	config  string                        // shown in the report; empty when flags say all
	url     func(address string) string
	play    func(ctx context.Context, p *plan, load bench.Load) (*bench.Report, error)
	argv0   string // what the program is told to be called
	folder  string // of its configuration; empty when it has none
	workers bool   // the process that listens is not the one that was started

	inFlight map[string]int // by plan
	notes    []string
}

// shown is the command for the report: without folders, which say nothing on another machine.
func (p *peer) shown() string {
	words := append([]string{filepath.Base(p.argv0)}, p.command("127.0.0.1:PORT")[1:]...)
	text := strings.Join(words, " ")
	if p.folder != "" {
		text = strings.ReplaceAll(text, p.folder, "FOLDER")
	}
	return text
}

// built are the peers with a module of their own in bench/peers, and the module whose version counts.
var built = map[string]string{
	"nexus": "github.com/gammazero/nexus/v3",
	"xconn": "github.com/xconnio/xconn-go",
	"nats":  "github.com/nats-io/nats-server/v2",
}

// prepare makes a peer ready to start. The error says why it cannot take part.
func (c *comparison) prepare(ctx context.Context, name string) (*peer, error) {
	p := &peer{
		name: name, argv0: name, inFlight: map[string]int{},
		url:  func(address string) string { return "ws://" + address + "/ws" },
		play: func(ctx context.Context, p *plan, load bench.Load) (*bench.Report, error) { return p.run(ctx, load) },
	}
	switch name {
	case "banyan":
		p.argv0, p.version = c.Argv0, ownVersion()
		p.command = func(address string) []string { return []string{c.Program, "serve", "--listen", address} }
		return p, nil
	case report.FloorName:
		p.argv0, p.version = c.Argv0, ownVersion()
		p.command = func(address string) []string { return []string{c.Program, "bench", "floor", "--listen", address} }
		return p, nil
	case "crossbar":
		return p, c.prepareCrossbar(ctx, p)
	case "nats":
		p.url = func(address string) string { return "nats://" + address }
		p.play = playNATS
	}
	return p, c.build(ctx, p, built[name])
}

// build compiles a peer from its module into the cache.
func (c *comparison) build(ctx context.Context, p *peer, module string) error {
	source := filepath.Join(c.Source, "bench", "peers", p.name)
	if _, err := os.Stat(filepath.Join(source, "go.mod")); err != nil {
		return fmt.Errorf("its source, bench/peers/%s, is not here: run in the checkout or name it with --source", p.name)
	}
	program, err := filepath.Abs(filepath.Join(c.Cache, p.name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return err
	}
	c.Told("%-8s  building", p.name)
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-o", program, ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot be built: %w: %s", err, lastLines(out, 3))
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	for _, d := range info.Deps {
		if d.Path == module {
			p.version = d.Version + " (" + info.GoVersion + ")"
		}
	}
	if p.version == "" {
		return errors.New("its version is not in its build information")
	}
	p.command = func(address string) []string { return []string{program, "-listen", address, "-realm", realm} }
	config, err := exec.CommandContext(ctx, program, "-listen", "127.0.0.1:4000", "-realm", realm, "-describe").Output()
	if err != nil {
		return fmt.Errorf("does not describe its configuration: %w", err)
	}
	p.config = strings.ReplaceAll(strings.TrimSpace(string(config)), "4000", "PORT")
	return nil
}

func lastLines(b []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(b, nil))), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// ownVersion tells the commit of this program as far as the build knows it.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version = s.Value[:min(12, len(s.Value))]
		}
	}
	return strings.TrimSpace(version + " (" + info.GoVersion + ")")
}
