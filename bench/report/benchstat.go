package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"

	"banyan/bench/load"
)

// Benchstat writes a line for each run in the format of Go benchmarks, so that benchstat compares two files, or two peers of one file with
// `-col /peer`.
func (d *Document) Benchstat(w io.Writer) error {
	b := bufio.NewWriter(w)
	if len(d.Runs) > 0 {
		where := &d.Runs[0].Report.Where
		os, arch, _ := strings.Cut(where.OS, "/")
		fmt.Fprintf(b, "goos: %s\ngoarch: %s\npkg: banyan/bench\n", os, arch)
		if where.CPU != "" {
			fmt.Fprintf(b, "cpu: %s\n", where.CPU)
		}
		for _, many := range units(d) {
			fmt.Fprintf(b, "Unit %s/s better=higher\n", many)
		}
	}
	for _, r := range d.Runs {
		line(b, r.Peer, r.Report)
	}
	return b.Flush()
}

// units lists what the runs count.
func units(d *Document) []string {
	var all []string
	seen := map[string]bool{}
	for _, r := range d.Runs {
		if many, _ := Nouns(r.Report.Scenario); !seen[many] {
			seen[many] = true
			all = append(all, many)
		}
	}
	return all
}

func line(w io.Writer, peer string, r *load.Report) {
	many, one := Nouns(r.Scenario)
	fmt.Fprintf(w, "Benchmark%s/peer=%s 1", Key(r), word(peer))
	if r.Received > 0 {
		fmt.Fprintf(w, " %.0f %s/s %.0f client-ns/%s", r.PerSecond, many, r.Client.CPUPerMessage, one)
	}
	if r.Latency.Count > 0 {
		l := &r.Latency
		fmt.Fprintf(w, " %.4f p50-ms %.4f p90-ms %.4f p99-ms %.4f p99.9-ms", l.P50/1e3, l.P90/1e3, l.P99/1e3, l.P999/1e3)
	}
	if r.Router != nil {
		if r.Received > 0 {
			fmt.Fprintf(w, " %.0f router-ns/%s", r.Router.CPUPerMessage, one)
		}
		fmt.Fprintf(w, " %d router-B", r.Router.RSSBytes)
		if r.Router.RSSPerSession > 0 {
			fmt.Fprintf(w, " %d router-B/session", r.Router.RSSPerSession)
		}
		if r.Router.SyscallsPerMessage > 0 {
			fmt.Fprintf(w, " %.4f syscalls/%s", r.Router.SyscallsPerMessage, one)
		}
	}
	for _, f := range r.Figures {
		fmt.Fprintf(w, " %g %s", f.Value, unit(f))
	}
	fmt.Fprintln(w)
}

// unit names a scenario's own figure; two figures of one run may have the same unit, which a line may not.
func unit(f load.Figure) string { return word(f.Name) + "-" + word(f.Unit) }

// Key names what was run, so that runs of one key may be compared: scenario, sizes, serializer, transport.
func Key(r *load.Report) string {
	p := &r.Plan
	var b strings.Builder
	name := []rune(word(r.Scenario))
	if len(name) > 0 {
		name[0] = unicode.ToUpper(name[0])
	}
	b.WriteString(string(name))
	number := func(key string, n int) {
		if n > 0 {
			fmt.Fprintf(&b, "/%s=%d", key, n)
		}
	}
	number("pubs", p.Publishers)
	number("subs", p.Subscribers)
	number("callers", p.Callers)
	number("callees", p.Callees)
	number("sessions", p.Sessions)
	number("topics", p.Topics)
	number("pertopic", p.PerTopic)
	number("patterns", p.Patterns)
	number("matching", p.Matching)
	number("progress", p.Progress)
	number("workers", p.Workers)
	fmt.Fprintf(&b, "/ser=%s", word(p.Serializer))
	if t := transport(p.URL); t != "" {
		fmt.Fprintf(&b, "/transport=%s", strings.ToLower(t))
	}
	number("bytes", p.PayloadBytes)
	if p.Loop == "open" {
		fmt.Fprintf(&b, "/rate=%g", p.Rate)
	} else {
		number("inflight", p.InFlight)
	}
	return b.String()
}

// word makes s fit into a benchmark's name.
func word(s string) string {
	s = strings.ReplaceAll(s, "%", "percent")
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-/", r) {
			return r
		}
		return '-'
	}, s)
}
