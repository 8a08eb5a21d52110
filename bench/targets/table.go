package targets

import (
	"fmt"
	"math"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
	"banyan/codec"
)

// A row is one work and what is asked of it.
type row struct {
	peers.Plan // Name is the work's
	pinned     bool
	once       bool        // the load has rounds of its own
	within     float64     // rounds go on until the 95 % interval of the first check is as narrow; 0: they do not
	base       *peers.Plan // another work of ours that checks compare with, by its name
	checks     []check
	skip       string // why it cannot be measured
}

// A check is one figure of a row. If with is empty, the figure is ours alone. If it names the floor or the row's
// base, the figure is ours as a multiple of its figure in the same round. If it names a peer, the figure is the
// peer's as a multiple of ours.
type check struct {
	figure string
	of     func(*load.Report) float64 // NaN when the report does not tell
	with   string
	limit  judge.Limit
}

func atMost(v float64) judge.Limit { return judge.Limit{Value: v} }

func atLeast(v float64) judge.Limit { return judge.Limit{Value: v, AtLeast: true} }

// ours is the name of our router in package peers.
const ours = "banyan"

func cpu(r *load.Report) float64 {
	if r.Router == nil {
		return math.NaN()
	}
	return r.Router.CPUPerMessage
}

// cost asks that our router costs at most limit times as much as with.
func cost(with string, limit float64) check {
	return check{"cost / " + with, cpu, with, atMost(limit)}
}

// dearer asks that a peer costs at least limit times as much as our router.
func dearer(peer string, limit float64) check {
	return check{peer + "'s cost / ours", cpu, peer, atLeast(limit)}
}

func p50(r *load.Report) float64 { return r.Latency.P50 }

func p99(r *load.Report) float64 { return r.Latency.P99 }

// own reads a scenario's own figure.
func own(name string) func(*load.Report) float64 {
	return func(r *load.Report) float64 {
		for _, f := range r.Figures {
			if f.Name == name {
				return f.Value
			}
		}
		return math.NaN()
	}
}

// alone asks that a scenario's own figure is at most limit.
func alone(figure, name string, limit float64) check {
	return check{figure, own(name), "", atMost(limit)}
}

func networkBytes(r *load.Report) float64 { return r.BytesPerMessage }

func perSession(r *load.Report) float64 {
	if r.Router == nil {
		return math.NaN()
	}
	return float64(r.Router.RSSPerSession) / (1 << 10)
}

// The idle rows: a fixed number of sessions, and as many as the file limit allows up to a bound.
const (
	idleSessions    = 10_000
	idleSessionsMax = 100_000
)

// table lists the targets of the project in the order in which they are measured. idleMax is how many idle sessions
// the file limit allows.
func table(idleMax int) []row {
	const floor = report.FloorName
	fan := func(name string, subscribers, inFlight, payload int) peers.Plan {
		return peers.Plan{
			Name: name, Scenario: "fanout", Size: subscribers, InFlight: inFlight,
			PayloadBytes: payload,
		}
	}
	rpc := func(name string, callers, inFlight int) peers.Plan {
		return peers.Plan{Name: name, Scenario: "rpc", Size: callers, InFlight: inFlight}
	}
	topics := func(name string, n, each, sessions int) peers.Plan {
		return peers.Plan{Name: name, Scenario: "topics", Size: n, PerTopic: each, Sessions: sessions, InFlight: 32}
	}
	patterns := func(name string, n, matching int) peers.Plan {
		return peers.Plan{Name: name, Scenario: "patterns", Size: n, Matching: matching, InFlight: 32}
	}
	serialized := func(p peers.Plan, s codec.Serializer) peers.Plan {
		p.Serializer = s
		return p
	}
	storm := func(name string) peers.Plan {
		return peers.Plan{Name: name, Scenario: "storm", Size: 8, InFlight: 1}
	}
	joiners := func(name string) peers.Plan {
		return peers.Plan{Name: name, Scenario: "joiners", Size: 10_000, InFlight: 1}
	}
	with := func(p peers.Plan, a peers.Access) peers.Plan {
		p.Access = a
		return p
	}
	rules, dynamic := peers.Access{Rules: 1000, Roles: 49}, peers.Access{Dynamic: true}
	msgpack := serialized(fan("msgpack", 100, 32, 64), codec.MessagePack)

	var all []row
	for _, n := range []int{10, 100, 1000, 5000} {
		nats := 2.5
		if n == 5000 {
			nats = 10
		}
		r := row{
			Plan:   fan(fmt.Sprintf("fan-out to %d", n), n, 32, 64),
			checks: []check{cost(floor, 1.25), dearer("nexus", 25), dearer("xconn", 25), dearer("nats", nats)},
		}
		if n <= 1000 { // Crossbar.io needs seconds for 5 000 sessions, and shows nothing new with them
			r.checks = append(r.checks, dearer("crossbar", 35))
		}
		all = append(all, r)
	}
	for _, n := range []int{10, 100, 1000} {
		all = append(all, row{
			Plan: fan(fmt.Sprintf("fan-out to %d, 1 KiB", n), n, 32, 1024),
			checks: []check{
				cost(floor, 1.25), dearer("nexus", 18), dearer("xconn", 18), dearer("nats", 2.5),
				dearer("crossbar", 25),
			},
		})
	}
	records := serialized(fan("plain", 100, 32, 1024), codec.JSON)
	// At a fixed rate, so that both have as many events in one write: clients that inflate are slower.
	records.Records, records.Rate, records.Access = true, 500, peers.Access{Rules: 1}
	deflated := with(records, peers.Access{Rules: 1, Deflate: true})
	deflated.Name = "fan-out to 100, 1 KiB JSON, permessage-deflate"
	oneRule := with(fan("without", 100, 32, 64), peers.Access{Rules: 1})
	inMemory := with(fan("fan-out to 100, history in memory", 100, 32, 64), peers.Access{Rules: 1, History: "memory"})
	onDisk := with(fan("fan-out to 100, history on disk", 100, 32, 64), peers.Access{Rules: 1, History: "disk"})
	retained := joiners("10 000 subscribe and get what is retained")
	retained.Retained = true
	heard := joiners("10 000 join, one is told of each")
	heard.Listener = true
	atRate := fan("fan-out to 100 at 500/s", 100, 32, 64)
	atRate.Rate = 500
	rawSocket := serialized(fan("fan-out to 100, RawSocket", 100, 32, 64), codec.MessagePack)
	rawSocket.Transport = "rs"
	three := msgpack
	three.Scenario, three.Size, three.Subscribers = "publishers", 3, 99
	return append(
		all,
		row{
			Plan:   fan("fan-out to 100, one in flight", 100, 1, 64),
			checks: []check{cost(floor, 1.1), dearer("nexus", 1), dearer("nats", 1), dearer("crossbar", 4)},
		},
		row{Plan: atRate, checks: []check{{"p99 / floor", p99, floor, atMost(1.2)}}},
		row{
			Plan: peers.Plan{
				Name: "32 publishers to 100, one in flight each", Scenario: "publishers", Size: 32,
				Subscribers: 100, InFlight: 1,
			},
			checks: []check{cost(floor, 0.15)},
		},
		row{
			Plan: serialized(fan("fan-out to 100, JSON", 100, 32, 64), codec.JSON), base: &msgpack,
			checks: []check{cost("msgpack", 1.25)},
		},
		row{
			Plan: deflated, base: &records,
			checks: []check{cost("plain", 1.5), {"bytes / plain", networkBytes, "plain", atMost(0.333)}},
		},
		row{
			Plan: serialized(fan("fan-out to 100, CBOR", 100, 32, 64), codec.CBOR), base: &msgpack,
			checks: []check{cost("msgpack", 1.25)},
		},
		row{Plan: rawSocket, checks: []check{cost(floor, 1.25)}},
		row{
			Plan:   peers.Plan{Name: "three serializers at once", Scenario: "mixed", Size: 99, InFlight: 32},
			base:   &three,
			checks: []check{cost("msgpack", 1.25)},
		},
		row{Plan: topics("10 000 topics with three each", 10_000, 3, 300), checks: []check{dearer("nats", 1)}},
		row{
			Plan: patterns("10 000 patterns, matching one", 10_000, 1), base: new(topics("topics", 10_000, 1, 100)),
			checks: []check{cost("topics", 1.3)},
		},
		row{
			Plan: patterns("3 000 patterns, matching three", 3000, 3), base: new(topics("topics", 1000, 3, 100)),
			checks: []check{cost("topics", 1.3)},
		},
		row{
			Plan:   patterns("100 000 patterns, matching one", 100_000, 1),
			base:   new(patterns("1 000 patterns", 1000, 1)),
			checks: []check{cost("1 000 patterns", 1.3)},
		},
		row{
			Plan: rpc("rpc 1 x 1 on one CPU", 1, 1), pinned: true,
			checks: []check{
				cost(floor, 1.1),
				{"p50 / floor", p50, floor, atMost(1.1)},
				dearer("nexus", 1),
				{"nexus's p50 / ours", p50, "nexus", atLeast(1)},
				dearer("nats", 1),
				{"nats's p50 / ours", p50, "nats", atLeast(1)},
				dearer("crossbar", 8),
			},
		},
		row{
			Plan: rpc("rpc 1 x 64", 1, 64),
			checks: []check{
				cost(floor, 1.8), dearer("nexus", 12), dearer("xconn", 12), dearer("nats", 2),
				dearer("crossbar", 80),
			},
		},
		row{
			Plan: rpc("rpc 16 x 64", 16, 64),
			checks: []check{
				cost(floor, 3), dearer("nexus", 12), dearer("xconn", 12), dearer("nats", 2),
				dearer("crossbar", 80),
			},
		},
		row{
			Plan:   peers.Plan{Name: "progressive results", Scenario: "progressive", Size: 1, InFlight: 32},
			checks: []check{dearer("nexus", 8)},
		},
		row{
			Plan:   storm("open, HELLO, GOODBYE, close"),
			checks: []check{cost(floor, 1.3), dearer("crossbar", 8)},
		},
		row{
			// With more in flight the floor, which does not gather, pays for far more records.
			Plan:   with(fan("fan-out to 100 over TLS, one at a time", 100, 1, 64), peers.Access{TLS: true}),
			checks: []check{cost(floor, 1.5)},
		},
		row{
			Plan:   with(storm("open over TLS, HELLO, GOODBYE, close"), peers.Access{TLS: true}),
			checks: []check{cost(floor, 1.2)},
		},
		row{
			Plan: with(storm("open, log in by ticket, GOODBYE, close"), peers.Access{Ticket: true}),
			base: new(storm("anonymous")), checks: []check{cost("anonymous", 1.3)},
		},
		decisions(fan("fan-out to 100, 1 000 rules in 50 roles", 100, 32, 64), rules),
		decisions(rpc("rpc 16 x 64, 1 000 rules in 50 roles", 16, 64), rules),
		decisions(fan("fan-out to 100, decided by an authorizer", 100, 32, 64), dynamic),
		decisions(rpc("rpc 16 x 64, decided by an authorizer", 16, 64), dynamic),
		row{Plan: inMemory, base: &oneRule, checks: []check{cost("without", 1.15)}},
		row{Plan: onDisk, base: &oneRule, checks: []check{cost("without", 1.5)}},
		row{
			// A retained event is one more message for each, looked up and encoded for it alone, in the same write.
			Plan: retained, base: new(joiners("nothing retained")),
			checks: []check{
				{"subscribing / nothing retained", own("subscribing"), "nothing retained", atMost(1.5)},
				cost("nothing retained", 1.5),
			},
		},
		row{
			Plan: heard, base: new(joiners("nobody told")),
			checks: []check{{"joining / nobody told", own("joining"), "nobody told", atMost(1.2)}},
		},
		idleRow(idleSessions, ""),
		mostIdle(idleMax),
		row{
			Plan:   peers.Plan{Name: "churn while publishing", Scenario: "churn", Size: 100, InFlight: 32},
			checks: []check{alone("us of CPU per cycle", "cost", 10), alone("p99 / without", "p99 ratio", 1.1)},
		},
		row{
			Plan:   peers.Plan{Name: "beside hostile clients", Scenario: "hostile", Size: 4, InFlight: 1},
			once:   true,
			checks: []check{alone("worst p99.9 / without", "worst ratio", 3)},
		},
		row{
			Plan: peers.Plan{
				Name: "one stopped reader of 101", Scenario: "slow", Size: 100, InFlight: 32,
				PayloadBytes: 4096,
			},
			checks: []check{alone("p99 / without", "p99 ratio", 1.1)},
		},
	)
}

// decisions is a work with other permissions, beside the same with one rule. The difference is less than the runs
// differ by themselves, so there are many short ones, and all on one CPU: then they differ half as much.
func decisions(plan peers.Plan, access peers.Access) row {
	plan.Short = true
	base := plan
	base.Name, base.Access, plan.Access = "one rule", peers.Access{Rules: 1}, access
	return row{Plan: plan, base: &base, pinned: true, within: 0.02, checks: []check{cost(base.Name, 1.02)}}
}

// idleRow is n sessions that do nothing.
func idleRow(n int, skip string) row {
	name := fmt.Sprintf("%s idle sessions", spaced(n))
	return row{
		Plan: peers.Plan{Name: name, Scenario: "idle", Size: n, InFlight: 1}, skip: skip,
		checks: []check{{"KiB per session", perSession, "", atMost(3)}, alone("s until 80 % came back", "after", 5)},
	}
}

// mostIdle is as many idle sessions as the file limit allows.
func mostIdle(idleMax int) row {
	if idleMax > idleSessions {
		return idleRow(min(idleMax, idleSessionsMax), "")
	}
	r := idleRow(idleSessionsMax, fmt.Sprintf("the file limit allows %s sessions (ulimit -n)", spaced(idleMax)))
	r.Name = "most idle sessions that the file limit allows"
	return r
}

// spaced writes a number with spaces between the thousands.
func spaced(n int) string {
	if n < 10_000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d %03d", n/1000, n%1000)
}
