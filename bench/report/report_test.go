package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"

	"banyan/bench/judge"
	"banyan/bench/load"
)

// aRun is a report of a fan-out whose latencies are 1 to n microseconds.
func aRun(t *testing.T, pid int, name string, cost float64, n int64) *load.Report {
	t.Helper()
	h := hdrhistogram.New(1000, 1e11, 3)
	for i := range n {
		if err := h.RecordValue((i + 1) * 1000); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return &load.Report{
		Schema: load.Schema, Scenario: "fanout",
		Plan: load.Plan{
			URL: "ws://127.0.0.1:8080/ws", Serializer: "msgpack", Loop: "closed", InFlight: 32,
			PayloadBytes: 64, Publishers: 1, Subscribers: 1000,
		},
		Seconds: 3, Operations: 1000, Received: 1_000_000, PerSecond: 1234567,
		Latency: load.Latency{
			From: "send time", Count: n, P50: 500, P90: 900, P99: 1990, P999: 2999, Max: float64(n),
			HDR: string(b),
		},
		Series: []load.Second{{At: 1, PerSecond: 1e6}, {At: 2, PerSecond: 1.2e6}},
		Router: &load.Process{PID: pid, Name: name, CPUPerMessage: cost, RSSBytes: 16 << 20, RSSPerSession: 3072},
		Client: load.Process{CPUPerMessage: 400},
		Verified: load.Verdict{
			OK: true, Expected: 1_000_000, Received: 1_000_000,
		},
		Trust: load.Trust{Judged: true, OK: true},
		Where: load.Where{OS: "linux/amd64", CPU: "A CPU", CPUs: 2, Go: "go1.26", Memory: 1 << 30},
	}
}

func aDocument(t *testing.T) *Document {
	d := New("banyan bench compare", aRun(t, 1, "banyan", 250, 1000))
	d.Runs[0].Peer = "banyan"
	d.Runs = append(
		d.Runs,
		Run{Plan: "fanout", Peer: FloorName, Round: 1, Report: aRun(t, 2, FloorName, 200, 1000)},
		Run{Plan: "fanout", Peer: "banyan", Round: 2, Report: aRun(t, 3, "banyan", 270, 3000)},
	)
	d.Peers = []Peer{
		{Name: "banyan", Version: "1", Command: "banyan serve"},
		{Name: "crossbar", Skipped: "no </script><b>crossbar</b> here"},
	}
	d.Tables = []Table{{
		Plan: "fanout", About: "a plan", Peers: []string{"banyan", FloorName},
		Rows: []Row{{Figure: "events/s", Cells: []Cell{
			{Text: "10"},
			{Text: "20", Delta: "+100 %, p=0.008", Kind: judge.Better},
		}}},
	}}
	return d
}

func TestPage(t *testing.T) {
	d := aDocument(t)
	d.Runs[1].Report.Trust = load.Trust{Judged: true, Reasons: []string{"other programs used 91 % of a CPU"}}
	d.Runs[1].Report.Verified = load.Verdict{Failures: map[string]int64{"events lost": 3}}
	var b bytes.Buffer
	if err := d.HTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"banyan bench compare",                 // environment
		"1 234 567",                            // throughput, by narrow spaces
		"1.30 ×",                               // (250+270)/2 over 200
		`<td class="better">20<small>`,         // comparison
		"floor: not trustworthy: other",        // trust
		"verification failed: 3 × events lost", // verification
		"1.00 GiB",                             // memory of the machine
		"Copyright (c)",                        // licence of the library
		"no &lt;/script&gt;&lt;b&gt;crossbar",  // foreign text stays text
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// Nothing is loaded from elsewhere.
	for _, m := range regexp.MustCompile(`(?:src|href)\s*=\s*["'][^"']+|@import|url\(`).FindAllString(text, -1) {
		t.Errorf("the page refers to something: %s", m)
	}
	if n := strings.Count(text, "</script>"); n != 4 {
		t.Errorf("%d scripts end, want 4", n)
	}
	// The data in the page is the document.
	_, rest, _ := strings.Cut(text, `id="results">`)
	data, _, _ := strings.Cut(rest, "</script>")
	again, err := Read(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
}

func someTargets() []Target {
	return []Target{
		{
			Work: "some work", Figure: "cost / floor", Limit: judge.Limit{Value: 1.25}, Median: 1, Min: 0.9, Max: 1.1,
			Verdict: judge.Met, Rounds: 7, Low: 0.95, High: 1.0512,
		},
		{
			Work: "some work", Figure: "nexus's cost / ours", Limit: judge.Limit{Value: 25, AtLeast: true},
			Median: 50, Min: 24, Max: 60, Verdict: judge.Met, Doubts: []string{"noise", "more"},
		},
		{
			Work: "other work", Figure: "cost / floor", Limit: judge.Limit{Value: 2}, Median: 4, Min: 3, Max: 5,
			Verdict: judge.Missed, Notes: []string{"with <less>"},
		},
		{
			Work: "other work", Figure: "nats's cost / ours", Limit: judge.Limit{Value: 2, AtLeast: true},
			Verdict: judge.NotMeasured, Why: "nats: no network",
		},
		{
			Work: "last work", Figure: "cost / floor", Limit: judge.Limit{Value: 2}, Verdict: judge.Failed,
			Why: "3 messages of banyan",
		},
	}
}

func TestTargetLines(t *testing.T) {
	for i, want := range []string{
		"1  at most 1.25  (0.90 to 1.10)     met; 95 % interval of the median 0.950 to 1.051, 7 rounds",
		"50  at least 25   (24 to 60)         met; not trustworthy: noise (and 1 more)",
		"4  at most 2     (3 to 5)           MISSED; with <less>",
		"–  at least 2                       not measured; nats: no network",
		"–  at most 2                        FAILED; 3 messages of banyan",
	} {
		target := someTargets()[i]
		line := target.Line()
		if !strings.HasPrefix(line, target.Work+"   ") || !strings.HasSuffix(line, " "+want) {
			t.Errorf("%q, want %q at its end", line, want)
		}
	}
	y := Count(someTargets(), 90*time.Second)
	if diff := cmp.Diff(Tally{Met: 2, Missed: 2, NotMeasured: 1, Doubtful: 1, Seconds: 90}, y); diff != "" {
		t.Error(diff)
	}
	if want := "5 targets: 2 met, 2 missed, 1 not measured; 1 not trustworthy; took 1m30s."; y.String() != want {
		t.Errorf("%q, want %q", y, want)
	}
}

func TestPageOfTargets(t *testing.T) {
	d := aDocument(t)
	d.Targets = someTargets()
	d.Notes = []string{"Routers ran on CPU 0."}
	var b bytes.Buffer
	if err := d.HTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"Targets: 5 figures of 3 works",
		"Routers ran on CPU 0.",
		`<tr class="met"><th>some work</th><td>cost / floor</td><td>at most 1.25</td><td>0.90</td>` +
			`<td><strong>1</strong></td><td>1.10</td><td><div class="used"><i class="fill" style="width:64.00%">`,
		`style="width:40.00%"></i></div></td><td>met</td></tr>
<tr class="remarks"><td colspan="8"><p>not trustworthy: noise (and 1 more)</p></td></tr>`, // half of what is allowed
		`<tr class="missed"><th>other work</th>`,
		`style="width:100.00%"></i></div></td><td>missed</td></tr>
<tr class="remarks"><td colspan="8"><p>with &lt;less&gt;</p>`,
		`<tr class="absent again"><th>other work</th>`,
		`<div class="used"></div></td><td>failed</td></tr>
<tr class="remarks"><td colspan="8"><p>3 messages of banyan</p>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	_, rest, _ := strings.Cut(text, `id="results">`)
	data, _, _ := strings.Cut(rest, "</script>")
	again, err := Read(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
}

func TestVendoredFiles(t *testing.T) {
	source, err := os.ReadFile("page.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"uplot/uPlot.iife.min.js": uplotJS,
		"uplot/uPlot.min.css":     uplotCSS,
	} {
		if want := fmt.Sprintf("%x  %s\n",
			sha256.Sum256([]byte(content)), name); !bytes.Contains(source, []byte(want)) {
			t.Errorf("page.go does not note %s", want)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	d := aDocument(t)
	folder := filepath.Join(t.TempDir(), "deep", "out")
	names, err := d.Write(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{FileHTML, FileJSON, FileHDR}, names); diff != "" {
		t.Error(diff)
	}
	f, err := os.Open(filepath.Join(folder, FileJSON))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
}

func TestReadSingleReport(t *testing.T) {
	b, err := json.Marshal(aRun(t, 1, "banyan", 250, 10))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Runs) != 1 || d.Runs[0].Plan != "fanout" || d.Runs[0].Peer != "banyan" {
		t.Errorf("runs %+v", d.Runs)
	}
	for _, bad := range []string{
		"", "{}", `{"schema":"other/1"}`,
		`{"schema":"` + Schema + `","runs":[{"plan":"x"}]}`,
	} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestKey: runs of the same load have the same key, whatever they are called; any difference of the load is in it.
func TestKey(t *testing.T) {
	r := aRun(t, 1, "x", 1, 1)
	if want := "Fanout/pubs=1/subs=1000/ser=msgpack/transport=websocket/bytes=64/inflight=32"; Key(r) != want {
		t.Errorf("%s, want %s", Key(r), want)
	}
	r.Plan.Loop, r.Plan.Rate = "open", 500
	r.Plan.URL, r.Plan.Serializer = "unix:/x", "msgpack+json"
	if want := "Fanout/pubs=1/subs=1000/ser=msgpack-json/transport=rawsocket/bytes=64/rate=500"; Key(r) != want {
		t.Errorf("%s, want %s", Key(r), want)
	}
	for _, loop := range []string{"closed", "open"} {
		for i := range reflect.TypeFor[load.Plan]().NumField() {
			name := reflect.TypeFor[load.Plan]().Field(i).Name
			if name == "Rate" && loop == "closed" || name == "InFlight" && loop == "open" || name == "Loop" {
				continue // means nothing there
			}
			r := aRun(t, 1, "x", 1, 1)
			r.Plan.Loop = loop
			before := Key(r)
			switch v := reflect.ValueOf(&r.Plan).Elem().Field(i); v.Kind() {
			case reflect.Int:
				v.SetInt(77)
			case reflect.Float64:
				v.SetFloat(77)
			case reflect.Bool:
				v.SetBool(true)
			default:
				v.SetString("nats://x")
			}
			if Key(r) == before {
				t.Errorf("%s is not in the key of a %s loop: %s", name, loop, before)
			}
		}
	}
}

func TestPercentiles(t *testing.T) {
	var b bytes.Buffer
	if err := aDocument(t).Percentiles(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"#[plan = fanout, peer = banyan]", "#[plan = fanout, peer = floor]",
		"Total count    =         4000",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestCurve(t *testing.T) {
	h := hdrhistogram.New(1000, 1e11, 3)
	for i := range int64(1000) {
		if err := h.RecordValue((i + 1) * 1e6); err != nil {
			t.Fatal(err)
		}
	}
	c := newCurve(h)
	n := len(c.Nines) - 1
	if c.Nines[0] != 0 || c.Nines[n] != 3 || c.Nines[20] != 1 {
		t.Errorf("nines %v", c.Nines)
	}
	for i, want := range map[int]float64{0: 1, 20: 900, 40: 990, n: 999} {
		if got := c.Millis[i]; got < want*0.998 || got > want*1.002 {
			t.Errorf("at %v nines: %v ms, want %v", c.Nines[i], got, want)
		}
	}
	few := hdrhistogram.New(1000, 1e11, 3)
	for range 100 {
		if err := few.RecordValue(1e6); err != nil {
			t.Fatal(err)
		}
	}
	if c := newCurve(few); c.Nines[len(c.Nines)-1] != 2 {
		t.Errorf("of 100 messages the last one stands for 99 %%, not for %v nines", c.Nines[len(c.Nines)-1])
	}
	if c := newCurve(nil); c.Nines != nil {
		t.Errorf("a curve of nothing: %v", c)
	}
	r := aRun(t, 1, "x", 1, 10)
	r.Latency.HDR = "AAAA"
	if _, err := histogram(r); err == nil {
		t.Error("a broken histogram was read")
	}
}

// TestFailureOfOneRound: it is told in the sums of all rounds and in the sentence, wherever it stands.
func TestFailureOfOneRound(t *testing.T) {
	for at := range 3 {
		reports := []*load.Report{aRun(t, 1, "x", 1, 1), aRun(t, 1, "x", 1, 1), aRun(t, 1, "x", 1, 1)}
		if s := summarize("x", reports, 0); !s.Verified || s.VerifyText != "all "+judge.Grouped(3e6)+" events" {
			t.Errorf("all well: %q", s.VerifyText)
		}
		reports[at].Verified = load.Verdict{Expected: 10, Received: 9, Failures: map[string]int64{"events lost": 1}}
		if s := summarize("x", reports, 0); s.Verified || s.VerifyText != "FAILED" {
			t.Errorf("a failure in round %d: %q", at+1, s.VerifyText)
		}
		const failed, well = "VERIFICATION FAILED: 9 of 10 came as they should.", "All 1"
		for i, r := range reports {
			if text := sentence("x", r); strings.Contains(text, failed) != (i == at) ||
				strings.Contains(text, well) != (i != at) {
				t.Errorf("round %d, failure in %d: %s", i+1, at+1, text)
			}
		}
	}
}

func TestTransport(t *testing.T) {
	for url, want := range map[string]string{
		"ws://x": "WebSocket", "wss://x": "WebSocket", "ws+unix:/x": "WebSocket", "rs://x": "RawSocket",
		"rss://x": "RawSocket", "tcp://x": "RawSocket", "unix:/x": "RawSocket", "nats://x": "NATS", "x": "",
		"smoke://x": "smoke",
	} {
		if got := transport(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
