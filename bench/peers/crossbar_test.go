package peers

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrossbarOfTheMachine takes the `crossbar` on the path, asks for its version and gives it a configuration for
// each start.
func TestCrossbarOfTheMachine(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho ' Crossbar.io                  : 99.1.2'\necho '   txaio                      : 1'\n"
	if err := os.WriteFile(filepath.Join(bin, "crossbar"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	s := &Setup{Transport: "ws", Scratch: t.TempDir(), Cache: t.TempDir(), Told: t.Logf}
	p, err := s.Prepare(context.Background(), "crossbar")
	if err != nil {
		t.Fatal(err)
	}
	if p.version != "99.1.2" || !strings.Contains(p.config, `"PORT"`) {
		t.Errorf("version %q, configuration %s", p.version, p.config)
	}
	if want := "crossbar start --cbdir FOLDER --loglevel warn"; p.Describe().Command != want {
		t.Errorf("shown as %q, want %q", p.Describe().Command, want)
	}
	words := p.command("127.0.0.1:1234", "rs")
	if words[0] != filepath.Join(bin, "crossbar") || words[2] != "--cbdir" {
		t.Fatalf("command %q", words)
	}
	b, err := os.ReadFile(filepath.Join(words[3], "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Workers []struct {
			Transports []struct {
				Type     string
				Endpoint struct{ Port int }
			}
		}
	}
	if err := json.Unmarshal(b, &config); err != nil || config.Workers[0].Transports[0].Endpoint.Port != 1234 ||
		config.Workers[0].Transports[0].Type != "rawsocket" {
		t.Errorf("%v in %s", err, b)
	}
}

// TestNoCrossbar: without Crossbar.io and Python, the error says why it cannot take part.
func TestNoCrossbar(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := &Setup{Transport: "ws", Scratch: t.TempDir(), Cache: t.TempDir(), Told: t.Logf}
	if _, err := s.Prepare(context.Background(), "crossbar"); err == nil ||
		!strings.Contains(err.Error(), "no `crossbar` on this machine") {
		t.Error(err)
	}
}
