package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// crossbarVersion is installed if the machine has no Crossbar.io.
const crossbarVersion = "26.10.1"

// prepareCrossbar finds Crossbar.io, or installs it into a virtual environment in the cache.
func (s *Setup) prepareCrossbar(ctx context.Context, p *Peer) error {
	program, err := exec.LookPath("crossbar")
	if err != nil {
		if program, err = s.installCrossbar(ctx); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, program, "version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s version: %w: %s", program, err, lastLines(out, 3))
	}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "Crossbar.io" {
			p.version = strings.TrimSpace(value)
		}
	}
	folder := filepath.Join(s.Scratch, "crossbar")
	shown, err := json.Marshal(crossbarConfig("PORT", s.Transport, s.realm()))
	if err != nil {
		return err
	}
	p.config = string(shown)
	p.command = func(address, transport string) []string {
		// The configuration contains the port, so each start writes it.
		if _, port, err := net.SplitHostPort(address); err == nil {
			writeCrossbarConfig(folder, port, transport, s.realm())
		}
		return []string{program, "start", "--cbdir", folder, "--loglevel", "warn"}
	}
	p.argv0, p.workers, p.folder = "crossbar", true, folder
	return writeCrossbarConfig(folder, "0", s.Transport, s.realm())
}

// installCrossbar installs the pinned version once.
func (s *Setup) installCrossbar(ctx context.Context) (string, error) {
	environment := filepath.Join(s.Cache, "crossbar-"+crossbarVersion)
	program := filepath.Join(environment, "bin", "crossbar")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("no `crossbar` on this machine, and no python3 to install it with")
	}
	s.Told("%-8s  installing crossbar==%s, this takes a minute", "crossbar", crossbarVersion)
	for _, words := range [][]string{
		{python, "-m", "venv", environment},
		{filepath.Join(environment, "bin", "pip"), "install", "--quiet", "crossbar==" + crossbarVersion},
	} {
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("no `crossbar` on this machine, and it cannot be installed: %w: %s",
				err, lastLines(out, 2))
		}
	}
	return program, nil
}

// crossbarConfig is one router worker with one realm that everybody may use.
func crossbarConfig(port, transport, realm string) map[string]any {
	var number any = port
	if n, err := strconv.Atoi(port); err == nil {
		number = n
	}
	listener := map[string]any{
		"type":     "web",
		"endpoint": map[string]any{"type": "tcp", "port": number, "interface": "127.0.0.1"},
		"paths":    map[string]any{"ws": map[string]any{"type": "websocket"}},
	}
	if transport == "rs" {
		listener = map[string]any{
			"type": "rawsocket", "endpoint": listener["endpoint"],
			"serializers": []any{"msgpack", "json", "cbor"},
		}
	}
	return map[string]any{
		"version": 2,
		"workers": []any{map[string]any{
			"type": "router",
			"realms": []any{map[string]any{
				"name": realm,
				"roles": []any{map[string]any{
					"name": "anonymous",
					"permissions": []any{map[string]any{
						"uri": "", "match": "prefix",
						"allow": map[string]any{"call": true, "register": true, "publish": true, "subscribe": true},
						"cache": true,
					}},
				}},
			}},
			"transports": []any{listener},
		}},
	}
}

func writeCrossbarConfig(folder, port, transport, realm string) error {
	b, err := json.MarshalIndent(crossbarConfig(port, transport, realm), "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "config.json"), b, 0o644)
}
