package load

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where a run took place.
type Where struct {
	Time       string     `json:"time"` // of the end, UTC, RFC 3339
	OS         string     `json:"os"`
	Kernel     string     `json:"kernel,omitempty"`
	CPU        string     `json:"cpu_model,omitempty"`
	CPUs       int        `json:"cpus"`
	Memory     int64      `json:"memory_bytes,omitempty"`
	GoMaxProcs int        `json:"client_gomaxprocs"`
	Go         string     `json:"client_go"`
	Commit     string     `json:"client_commit,omitempty"` // "-dirty" if the tree was changed; empty if not known
	Command    string     `json:"command"`
	LoadBefore [3]float64 `json:"load_before"` // load averages of 1, 5 and 15 minutes when the run began
}

// readWhere describes this machine and this program. A field that the machine does not tell stays empty.
func readWhere(load [3]float64) Where {
	w := Where{
		Time: time.Now().UTC().Format(time.RFC3339), OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
		GoMaxProcs: runtime.GOMAXPROCS(0), Go: runtime.Version(), Command: fmt.Sprintf("%q", os.Args[1:]),
		CPU: cpuModel(), Commit: commit(), LoadBefore: load,
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		w.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		w.Memory = int64(s.Totalram) * int64(s.Unit)
	}
	return w
}

func loadAverages() (l [3]float64) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return l
	}
	if _, err := fmt.Sscan(string(b), &l[0], &l[1], &l[2]); err != nil {
		return [3]float64{}
	}
	return l
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// commit is the revision this program was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}
