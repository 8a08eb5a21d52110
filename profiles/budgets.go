package profiles

// SamplesMin is the least number of samples for a verdict. With fewer, a share of a few percent is too uncertain.
const SamplesMin = 5000

// The canonical scenarios. Names of files, of budgets and on the command line.
const (
	Fanout100  = "fanout-100"
	Fanout1000 = "fanout-1000"
	RPC16x64   = "rpc-16x64"
	RPC1x64    = "rpc-1x64"
	Mixed      = "mixed"
)

// Scenarios are the names of all canonical scenarios, in the order of recording.
var Scenarios = []string{Fanout100, Fanout1000, RPC16x64, RPC1x64, Mixed}

// budgets bound, per scenario, the share that each kind of work may have in the router's CPU time. They are the
// recorded shares and a margin for noise and for other machines: half more, two points at least. Lower a bound with
// every change that allows it; raise one only in a commit that says why. When one kind of work gets cheaper, the
// shares of the others grow: that too is a reason for new bounds. The kernel's share has a bound in calls only: in
// fan-out, writing to sockets is the work.
var budgets = map[string]map[Category]float64{
	Fanout100: {
		Scheduler: 0.03, GC: 0.02, Malloc: 0.03, Memory: 0.02, Maps: 0.02, Codec: 0.03, Engine: 0.05,
		Realm: 0.02, Other: 0.02,
	},
	Fanout1000: {
		Scheduler: 0.03, GC: 0.02, Malloc: 0.03, Memory: 0.02, Maps: 0.02, Codec: 0.02, Engine: 0.05,
		Realm: 0.03, Other: 0.02,
	},
	RPC16x64: {
		Syscall: 0.45, Scheduler: 0.23, GC: 0.12, Malloc: 0.05, Memory: 0.04, Maps: 0.02, Codec: 0.24,
		Engine: 0.16, Realm: 0.19, Other: 0.02,
	},
	RPC1x64: {
		Syscall: 0.70, Scheduler: 0.13, GC: 0.05, Malloc: 0.04, Memory: 0.04, Maps: 0.02, Codec: 0.16,
		Engine: 0.12, Realm: 0.13, Other: 0.02,
	},
	Mixed: {
		Scheduler: 0.04, GC: 0.03, Malloc: 0.04, Memory: 0.03, Maps: 0.02, Codec: 0.04, Engine: 0.06,
		Realm: 0.04, Other: 0.02,
	},
}

// Bounds returns the budget of a scenario, nil for one that has none.
func Bounds(scenario string) map[Category]float64 { return budgets[scenario] }

// An absence is work that must not happen while a loop handles messages: functions whose name begins with prefix, and
// all functions they call, may have at most max of the router's CPU time there. Opening, closing and joining do not
// count.
type absence struct {
	prefix string
	max    float64
	why    string
}

// absences hold for every scenario.
var absences = []absence{
	{"fmt.", 0.001, "formats by reflection and allocates"},
	{"reflect.", 0.001, "the codec is generated so that nothing has to be looked up at run time"},
	{"encoding/json.", 0.001, "the codec reads and writes JSON itself"},
	{"log/slog.", 0.001, "a log line per message"},
	{"runtime.growslice", 0.015, "buffers are kept, not grown anew for each batch"},
	{"runtime.convT", 0.001, "boxes a value for an interface"},
	{"runtime.concatstring", 0.001, "builds a string per message"},
	{"runtime.deferproc", 0.001, "a defer that the compiler could not place on the stack frame"},
}

// loopFrame is in all stacks of a loop's work.
const loopFrame = "banyan/engine.(*loop)."

// coldFrames are functions that a loop calls per connection or subscription, not per message.
var coldFrames = []string{
	"banyan/engine.(*listener).accept",
	"banyan/engine.(*conn).httpHead",
	"banyan/engine.(*conn).rawHello",
	"banyan/engine.(*conn).close",
	"banyan/engine.(*loop).adopt",
	"banyan/realm.(*handler).receiveOpen",
	"banyan/realm.(*handler).receiveGoodbye",
	"banyan/realm.(*session).dispose",
	"banyan/realm.(*session).receiveSubscribe",
	"banyan/realm.(*session).receiveUnsubscribe",
	"banyan/realm.(*session).receiveRegister",
	"banyan/realm.(*session).receiveUnregister",
}
