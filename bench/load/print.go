package load

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"banyan/bench/judge"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	r.printOutcome(w)
	r.printProcesses(w)
	r.printFloor(w)
	r.printHostile(w)
	r.printVerdict(w)
	r.printTrust(w)
}

// PrintBrief is Print without the processes, for a router that runs in the process of its clients.
func (r *Report) PrintBrief(w io.Writer) {
	r.printOutcome(w)
	r.printVerdict(w)
}

// Nouns are what a scenario counts.
func (r *Report) Nouns() (many, one string) {
	switch r.Scenario {
	case "rpc":
		return "calls", "call"
	case "progressive":
		return "results", "result"
	case "idle", "storm", "joiners":
		return "sessions", "session"
	case "soak":
		return "messages", "message"
	}
	return "events", "event"
}

// Shape describes the sizes of the load in words.
func (p *Plan) Shape() string {
	var parts []string
	part := func(n int, name string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	part(p.Publishers, "publishers")
	part(p.Subscribers, "subscribers")
	part(p.Callers, "callers")
	part(p.Callees, "callees")
	part(p.Progress, "results per call")
	part(p.Topics, "topics")
	part(p.PerTopic, "subscribers per topic")
	part(p.Patterns, "patterns")
	part(p.Matching, "matching")
	part(p.Sessions, "sessions")
	part(p.Stopped, "stopped readers")
	part(p.Workers, "workers")
	if p.Retained {
		parts = append(parts, "a retained event for each")
	}
	if p.Listener {
		parts = append(parts, "one who is told of each")
	}
	return strings.Join(parts, ", ")
}

func (r *Report) printOutcome(w io.Writer) {
	p, l := &r.Plan, &r.Latency
	many, _ := r.Nouns()
	fmt.Fprintf(w, "%-10s %s", r.Scenario, p.Shape())
	if p.Loop == "open" {
		fmt.Fprintf(w, ", open loop at %.0f/s", p.Rate)
	} else if p.InFlight > 0 {
		fmt.Fprintf(w, ", closed loop with %d in flight", p.InFlight)
	}
	fmt.Fprintf(w, ", %s", p.Serializer)
	if p.PayloadBytes > 0 {
		fmt.Fprintf(w, ", %d bytes", p.PayloadBytes)
	}
	fmt.Fprintf(w, ", %.1f s\n", r.Seconds)
	if r.Scenario == "idle" {
		return
	}
	fmt.Fprintf(w, "throughput %.0f %s/s", r.PerSecond, many)
	if p.Publishers > 0 {
		fmt.Fprintf(w, "   from %.0f publications/s", judge.Ratio(float64(r.Operations), r.Seconds))
	}
	fmt.Fprintf(w, "\nlatency    p50 %s   p90 %s   p99 %s   p99.9 %s   max %s   from the %s\n",
		judge.Micros(l.P50), judge.Micros(l.P90), judge.Micros(l.P99), judge.Micros(l.P999), judge.Micros(l.Max),
		l.From)
}

func (r *Report) printProcesses(w io.Writer) {
	_, one := r.Nouns()
	if r.Router != nil {
		fmt.Fprintf(w, "router     %s (pid %d): ", r.Router.Name, r.Router.PID)
		if r.Scenario != "idle" {
			fmt.Fprintf(w, "%.0f ns of CPU per %s, ", r.Router.CPUPerMessage, one)
		}
		fmt.Fprintf(w, "%.0f %% of a CPU, %.1f MiB resident",
			100*r.Router.CPUShare, float64(r.Router.RSSBytes)/(1<<20))
		if r.Router.RSSPerSession > 0 {
			fmt.Fprintf(w, ", %.1f KiB per idle session (%d)",
				float64(r.Router.RSSPerSession)/1024, r.Router.SessionsCounted)
		}
		fmt.Fprintln(w)
		switch {
		case r.Router.SyscallsPerMessage > 0:
			fmt.Fprintf(w, "syscalls   %.4f per %s\n", r.Router.SyscallsPerMessage, one)
		case r.Router.NoSyscalls != "":
			fmt.Fprintf(w, "syscalls   not counted: %s\n", r.Router.NoSyscalls)
		}
	} else {
		fmt.Fprintf(w, "router     no CPU figures: %s\n", r.NoRouter)
	}
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%-10s %s %s\n", f.Name, judge.Number(f.Value), f.Unit)
	}
	if r.Scenario == "idle" {
		fmt.Fprintf(w, "clients    %.0f %% of a CPU\n", 100*r.Client.CPUShare)
		return
	}
	fmt.Fprintf(w, "clients    %.0f ns of CPU per %s, %.0f %% of a CPU\n",
		r.Client.CPUPerMessage, one, 100*r.Client.CPUShare)
}

func (r *Report) printVerdict(w io.Writer) {
	many, _ := r.Nouns()
	if r.Verified.OK && r.Scenario == "joiners" {
		fmt.Fprintf(w, "verified   all %d sessions: each joined, subscribed and got its events once\n",
			r.Verified.Received)
		return
	}
	if r.Verified.OK && many == "sessions" {
		fmt.Fprintf(w, "verified   all %d sessions: each was welcomed and said goodbye to\n", r.Verified.Received)
		return
	}
	if r.Verified.OK {
		fmt.Fprintf(w, "verified   all %d %s: none lost, none twice, none out of order, none changed\n",
			r.Verified.Received, many)
		return
	}
	came := "arrived"
	if many != "events" && many != "messages" {
		came = "were answered"
	}
	fmt.Fprintf(w, "FAILED     %d of %d %s %s\n", r.Verified.Received, r.Verified.Expected, many, came)
	kinds := make([]string, 0, len(r.Verified.Failures))
	for k := range r.Verified.Failures {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		fmt.Fprintf(w, "           %d x %s\n", r.Verified.Failures[k], k)
	}
}

// printFloor shows the comparison with the floor.
func (r *Report) printFloor(w io.Writer) {
	v := r.Floor
	if v == nil {
		return
	}
	fmt.Fprintf(w, "floor      %.2f x its cost, median of %d rounds (%.2f to %.2f)",
		v.Median, len(v.Rounds), v.Min, v.Max)
	if v.MedianP50 > 0 {
		fmt.Fprintf(w, "; p50 %.2f x, p99 %.2f x", v.MedianP50, v.MedianP99)
	}
	fmt.Fprintln(w)
	for i, k := range v.Rounds {
		fmt.Fprintf(w, "           round %d: router %.0f, floor %.0f %s = %.2f x",
			i+1, k.Router, k.Floor, v.Unit, k.Ratio)
		if k.RouterP50 > 0 {
			fmt.Fprintf(w, ";  p50 %s against %s, p99 %s against %s", judge.Micros(k.RouterP50),
				judge.Micros(k.FloorP50), judge.Micros(k.RouterP99), judge.Micros(k.FloorP99))
		}
		if k.RouterSyscalls > 0 && k.FloorSyscalls > 0 {
			fmt.Fprintf(w, ", syscalls %.4f against %.4f", k.RouterSyscalls, k.FloorSyscalls)
		}
		fmt.Fprintln(w)
	}
}

// printTrust says whether the figures mean something.
func (r *Report) printTrust(w io.Writer) {
	for i, reason := range r.Trust.Reasons {
		label := ""
		if i == 0 {
			label = "NOT TRUSTWORTHY:"
		}
		fmt.Fprintf(w, "%-10s %s\n", label, reason)
	}
}
