package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// arrows says what each folder may import besides the standard library and itself (ARCHITECTURE.md). A path allows
// what is below it too, unless it is one of ours. Test files are not bound.
var arrows = map[string][]string{
	"banyan/bench/client": {
		"banyan/codec", "github.com/gobwas/ws", "github.com/gobwas/httphead", "github.com/xdg-go/stringprep",
		"golang.org/x/crypto/argon2",
	},
	"banyan/bench/compare": {
		"banyan/bench/judge", "banyan/bench/load", "banyan/bench/peers", "banyan/bench/report",
	},
	"banyan/bench/floor": {"golang.org/x/sys/unix", "banyan/codec"},
	"banyan/bench/judge": {"golang.org/x/perf/benchmath"},
	"banyan/bench/load": {
		"banyan/codec", "banyan/bench/judge", "banyan/bench/client",
		"github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys/unix",
	},
	"banyan/bench/peers": {"banyan/bench/client", "banyan/bench/load", "banyan/bench/report", "banyan/codec"},
	"banyan/bench/report": {
		"banyan/bench/judge", "banyan/bench/load", "github.com/HdrHistogram/hdrhistogram-go",
	},
	"banyan/bench/targets": {
		"banyan/bench/judge", "banyan/bench/load", "banyan/bench/peers", "banyan/bench/report",
		"banyan/codec",
	},
	"banyan/codec": {
		"github.com/tinylib/msgp/msgp", "github.com/valyala/bytebufferpool",
		"github.com/go-json-experiment/json/jsontext", "github.com/klauspost/compress/flate",
	},
	"banyan/engine": {
		"banyan/codec", "banyan/engine/port", "banyan/engine/internal/wire",
		"github.com/panjf2000/gnet/v2/pkg", "golang.org/x/sys/unix", "banyan/engine/internal/outq",
		"banyan/engine/internal/poll", "banyan/engine/internal/wheel", "golang.org/x/crypto/ocsp",
	},
	"banyan/engine/internal/outq":  {"golang.org/x/sys/unix"},
	"banyan/engine/internal/poll":  {"github.com/panjf2000/gnet/v2/pkg", "golang.org/x/sys/unix"},
	"banyan/engine/internal/wheel": {"banyan/codec", "banyan/engine/port"},
	"banyan/engine/internal/wire": {
		"github.com/gobwas/ws", "github.com/gobwas/httphead", "github.com/pires/go-proxyproto",
	},
	"banyan/engine/port": {"banyan/codec"},
	"banyan/profiles":    {"github.com/google/pprof/profile"},
	"banyan/realm": {
		"banyan/codec", "banyan/engine/port", "banyan/realm/auth", "banyan/realm/history", "banyan/realm/policy",
	},
	"banyan/realm/auth": {
		"banyan/codec", "github.com/golang-jwt/jwt/v5", "github.com/tinylib/msgp/msgp", "github.com/xdg-go/scram",
		"github.com/xdg-go/stringprep", "golang.org/x/crypto/argon2",
	},
	"banyan/realm/history":      {"banyan/codec"},
	"banyan/realm/history/disk": {"banyan/codec", "banyan/realm/history", "go.etcd.io/bbolt"},
	"banyan/realm/policy":       {"banyan/codec"},
	"banyan/realm/realmtest":    {"banyan/codec", "banyan/engine/port", "banyan/realm"},
	"banyan/realm/transcript": {
		"banyan/codec", "banyan/realm", "banyan/realm/history", "banyan/realm/policy",
		"github.com/rogpeppe/go-internal/txtar",
	},
}

// neverReached lists what a folder must not import through others either.
var neverReached = map[string][]string{
	"banyan/codec": {"net", "banyan/engine", "banyan/realm"},
	"banyan/realm": {
		"net/http", "banyan/engine", "github.com/panjf2000/gnet/v2", "github.com/gobwas/ws",
		"golang.org/x/sys/unix",
	},
	"banyan/bench/load": {"banyan/realm"},
	"banyan/cmd/banyan": {"github.com/caddyserver", "github.com/mholt"}, // only with -tags acme
}

// A listed is what go list tells about one package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func goList(t *testing.T) map[string]*listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-pgo=off", "-deps",
		"-json=ImportPath,Standard,Imports,Deps", "banyan/...", "banyan/cmd/banyan").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]*listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = &p
	}
}

// rulesFor finds the arrows of a package: its own, or those of the folder it is in.
func rulesFor(path string) (folder string, allowed []string, ok bool) {
	for folder = path; folder != "banyan"; folder = folder[:strings.LastIndexByte(folder, '/')] {
		if a, found := arrows[folder]; found {
			return folder, a, true
		}
	}
	return "", nil, false
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// TestImportArrows fails when a package imports something that it may not.
func TestImportArrows(t *testing.T) {
	packages := goList(t)
	checked := map[string]bool{}
	for path, p := range packages {
		if !within(path, "banyan") || within(path, "banyan/cmd") || p.Standard {
			continue
		}
		if strings.HasPrefix(path, "banyan/codec/internal/") || strings.HasPrefix(path, "banyan/bench/interop") {
			continue // generators and interop suites are tools, not parts of the house
		}
		folder, allowed, ok := rulesFor(path)
		if !ok {
			t.Errorf("%s has no arrows; add them here and to ARCHITECTURE.md", path)
			continue
		}
		checked[folder] = true
		for _, i := range p.Imports {
			if dep := packages[i]; dep == nil || dep.Standard || within(i, folder) && !isHouse(i) {
				continue
			}
			if !allows(allowed, i) {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
	for folder := range arrows {
		if !checked[folder] {
			t.Errorf("no package is in %s: is the list of arrows stale?", folder)
		}
	}
	for path, never := range neverReached {
		p := packages[path]
		if p == nil {
			t.Errorf("%s is not there", path)
			continue
		}
		for _, dep := range p.Deps {
			for _, n := range never {
				if dep == n || n != "net" && within(dep, n) && !within(dep, "banyan/engine/port") {
					t.Errorf("%s reaches %s", path, dep)
				}
			}
		}
	}
}

func isHouse(path string) bool {
	_, ok := arrows[path]
	return ok
}

func allows(allowed []string, path string) bool {
	for _, a := range allowed {
		if path == a || within(path, a) && !isHouse(path) {
			return true
		}
	}
	return false
}
