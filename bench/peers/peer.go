package peers

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/bench/report"
)

// Names lists the peers.
func Names() []string {
	return []string{"banyan", report.FloorName, "nexus", "xconn", "nats", "crossbar"}
}

// A Peer is a router that can be started.
type Peer struct {
	// Fixed by Prepare.
	Name    string
	version string
	command func(address, transport string) []string // the program first
	config  string                                   // shown in the report; empty if the flags are all
	scheme  string                                   // of its URL; empty when the transport is the scheme
	play    func(p *Plan, ctx context.Context, o load.Options) (*load.Report, error)
	argv0   string // name that the program is given
	folder  string // of its configuration; empty when it has none
	workers bool   // the process that listens is not the one that was started
	secure  bool   // with TLS

	authorizer *client.Login // of the client that decides what the others may do; nil: none does

	inFlight map[string]int // by plan, if tried
	notes    []string
}

// url returns the URL of a peer with this address.
func (p *Peer) url(address, transport string) string {
	scheme := cmp.Or(p.scheme, transport)
	if p.secure {
		scheme += "s"
	}
	if scheme == "ws" || scheme == "wss" {
		return scheme + "://" + address + "/ws"
	}
	return scheme + "://" + address
}

// Note keeps a difference from the other peers in a plan, for Describe. An empty note is ignored.
func (p *Peer) Note(plan *Plan, note string) {
	if note != "" {
		p.notes = append(p.notes, plan.Name+": "+note)
	}
}

// Describe returns how the peer was run, without the names of folders of this machine.
func (p *Peer) Describe() report.Peer {
	words := append([]string{filepath.Base(p.argv0)}, p.command("127.0.0.1:PORT", "ws")[1:]...)
	command := strings.Join(words, " ")
	if p.folder != "" {
		command = strings.ReplaceAll(command, p.folder, "FOLDER")
	}
	return report.Peer{Name: p.Name, Version: p.version, Command: command, Config: p.config, Notes: p.notes}
}

// built lists the peers with a module of their own in this folder, each with the module whose version is reported.
var built = map[string]string{
	"nexus": "github.com/gammazero/nexus/v3",
	"xconn": "github.com/xconnio/xconn-go",
	"nats":  "github.com/nats-io/nats-server/v2",
}

// Prepare makes a peer ready to start. The error says why it cannot take part.
func (s *Setup) Prepare(ctx context.Context, name string) (*Peer, error) {
	p := &Peer{Name: name, argv0: name, inFlight: map[string]int{}, play: (*Plan).run}
	switch name {
	case "banyan":
		p.argv0, p.version = s.Argv0, ownVersion()
		p.command = func(address, _ string) []string {
			return append([]string{
				s.Program, "serve", "--config=", "--listen", address, "--log-level", "warn", "--realm",
				s.realm(),
			}, s.ServeFlags...)
		}
		return p, nil
	case report.FloorName:
		p.argv0, p.version = s.Argv0, ownVersion()
		p.command = func(address, _ string) []string {
			return []string{s.Program, "bench", "floor", "--listen", address}
		}
		return p, nil
	case "crossbar":
		return p, s.prepareCrossbar(ctx, p)
	case "nats":
		p.scheme = "nats"
		if s.Transport == "rs" {
			p.notes = append(p.notes, "speaks its own protocol over TCP, whatever the transport of the others")
		}
	}
	return p, s.build(ctx, p, built[name])
}

// build compiles a peer from its module into the cache.
func (s *Setup) build(ctx context.Context, p *Peer, module string) error {
	source := filepath.Join(s.Source, "bench", "peers", p.Name)
	if _, err := os.Stat(filepath.Join(source, "go.mod")); err != nil {
		return fmt.Errorf("its source, bench/peers/%s, is not here: run in the checkout or name it with --source",
			p.Name)
	}
	program, err := filepath.Abs(filepath.Join(s.Cache, p.Name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Cache, 0o755); err != nil {
		return err
	}
	s.Told("%-8s  building", p.Name)
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
	p.command = func(address, transport string) []string {
		words := []string{program, "-listen", address, "-realm", s.realm()}
		if transport == "rs" && p.scheme == "" {
			words = append(words, "-rawsocket")
		}
		return words
	}
	describe := append(p.command("127.0.0.1:4000", s.Transport)[1:], "-describe")
	config, err := exec.CommandContext(ctx, program, describe...).Output()
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

// ownVersion returns the commit of this program, or its version if the build has no commit.
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
