//go:build linux

package config

import "time"

// The comment above a field is its documentation for users: TestCommentsAreFresh copies it into comments_gen.go. The
// tags are listed in option.go.

//go:generate go test -run TestCommentsAreFresh -update .

// A Config is everything that a configuration file can say. Load fills it; every default is in place.
type Config struct {
	// The form of this file. A program refuses a file of a form that it does not know.
	Version int `yaml:"version" default:"1" min:"1" max:"1" reload:"restart"`
	// The process as a whole.
	Process Process `yaml:"process"`
	// Where clients connect. Without this section: 127.0.0.1:8080.
	Listeners []Listener `yaml:"listeners" max:"64" reload:"restart"`
	// How much one client, one address or all of them may use. Each is counted, and each has an outcome.
	Limits Limits `yaml:"limits" reload:"live"`
	// Memory for messages under way and unsent bytes of all connections together.
	Budget Budget `yaml:"budget"`
	// How silent connections are found out.
	Keepalive Keepalive `yaml:"keepalive" reload:"live"`
	// Clients that read slower than events come. Realms and roles may differ in their own slow_consumers.
	SlowConsumers SlowConsumers `yaml:"slow_consumers" reload:"live"`
	// The realms. Without this section: realm1, in which anonymous clients of this machine may do everything.
	Realms []Realm `yaml:"realms" max:"10000" reload:"live"`
	// Realms that are made when somebody joins them first, for instance one for each tenant.
	Templates []Template `yaml:"templates" max:"1000" reload:"live"`
	// Where the events are kept that realms keep the history of.
	History Histories `yaml:"history"`
	// The cookie by which browsers come back, in realms whose auth has cookie. It is one for all realms, and of no
	// use after a restart. Without TLS another host can plant a cookie in a browser: there, one that stands for
	// nobody is replaced with each handshake, and a login never makes one stand for somebody that the browser
	// brought.
	Cookies Cookies `yaml:"cookies" reload:"restart"`
	// How the router stops.
	Drain Drain `yaml:"drain" reload:"live"`
	// The log, which goes to standard error.
	Log Log `yaml:"log" reload:"live"`
}

// Histories is the section history.
type Histories struct {
	// Bytes that the events in memory may take, of all realms together. Beyond, the oldest go. They count in
	// budget.bytes too: together with retained events they may have a quarter of it, and beyond the oldest go as
	// well.
	MemoryBytesMax Bytes `yaml:"memory_bytes_max" default:"256MiB" min:"1MiB" reload:"live"`
	// Bytes that the events on disk may take, of all realms together. Beyond, the oldest go. The file is history.db
	// in process.data_dir.
	DiskBytesMax Bytes `yaml:"disk_bytes_max" default:"1GiB" min:"1MiB" reload:"restart"`
	// Bytes of events that may wait for the disk. Beyond, events are delivered but not kept, or are refused where
	// publishers wait for the disk.
	DiskQueueBytesMax Bytes `yaml:"disk_queue_bytes_max" default:"16MiB" min:"1MiB" max:"1GiB" reload:"restart"`
	// How long an event waits for others, so that they are written together.
	DiskWait time.Duration `yaml:"disk_wait" default:"2ms" min:"1ms" zero:"not at all" reload:"restart"`
}

// Process is the section process.
type Process struct {
	// Event loops; auto is one for each CPU that the process is granted.
	Loops int `yaml:"loops" default:"auto" auto:"auto" min:"1" max:"64" reload:"restart"`
	// The folder for what the router keeps: the control socket, certificates from ACME and history on disk. It is
	// made if it is missing, with mode 0700. Empty: nothing is kept, and there is no control socket unless
	// control_socket says where.
	DataDir string `yaml:"data_dir" default:"" form:"path" reload:"restart"`
	// The path of the Unix socket over which banyan reload and banyan drain speak to the router; its mode is 0600.
	// Empty: control.sock in data_dir.
	ControlSocket string `yaml:"control_socket" default:"" form:"socket" reload:"restart"`
	// How often the file, and the users files and files with secrets that it names, are looked at: at most 1000 of
	// each. If they have changed, they are reloaded as by banyan reload. Symbolic links are followed, so that
	// Kubernetes' way of changing a volume is noticed.
	Watch time.Duration `yaml:"watch" default:"0" min:"100ms" zero:"never" reload:"restart"`
	// How the router calls itself in WELCOME; auto is Banyan and its version.
	Agent string `yaml:"agent" default:"auto" auto:"auto" reload:"live"`
}

// Budget is the section budget.
type Budget struct {
	// Bytes that all connections together may have unsent, in unfinished messages, or in subscriptions and
	// registrations. Beyond it the largest holders are closed; subscriptions and registrations may have half of it,
	// and more are refused with wamp.error.option_not_allowed. Of this half, histories in memory and retained events
	// may have half, and retained events half of that. Without limits.message_bytes_max, messages are accepted up to
	// a quarter of all. auto is a quarter of the memory, and at least 256MiB.
	Bytes Bytes `yaml:"bytes" default:"auto" auto:"auto" min:"16MiB" reload:"restart"`
}

// Keepalive is the section keepalive.
type Keepalive struct {
	// How often WebSocket clients are pinged.
	PingInterval time.Duration `yaml:"ping_interval" default:"25s" min:"1ms" zero:"never"`
	// How long a client that is pinged may give no sign of life before it is closed, at least one interval; auto is
	// two of them.
	PingTimeout time.Duration `yaml:"ping_timeout" default:"auto" auto:"auto" min:"1ms"`
	// Ping RawSocket clients too. Some of them cannot answer.
	RawsocketPings bool `yaml:"rawsocket_pings" default:"false"`
}

// SlowConsumers is the section slow_consumers.
type SlowConsumers struct {
	// What happens to an event whose receiver is at one of the bounds below: disconnect closes the receiver;
	// drop_newest drops this event; drop_oldest drops the events that have waited longest; keep_latest keeps only the
	// last event of each topic. With keep_latest the events of a prefix or wildcard subscription, which are of many
	// topics, are treated as by drop_oldest, and so is what still has no room. Replies and invocations are never
	// dropped.
	Policy string `yaml:"policy" default:"disconnect" enum:"disconnect,drop_newest,drop_oldest,keep_latest"`
	// Unsent bytes that one connection may hold.
	BacklogBytesMax Bytes `yaml:"backlog_bytes_max" default:"64MiB" min:"64KiB"`
	// Unsent events that one connection may hold.
	BacklogEventsMax int `yaml:"backlog_events_max" default:"0" min:"1" zero:"no limit"`
	// How long an event may wait to be sent.
	BacklogAgeMax time.Duration `yaml:"backlog_age_max" default:"0" min:"1ms" zero:"no limit"`
	// A connection whose events have waited this long is listed as slow, in the log and in the counters.
	SlowAfter time.Duration `yaml:"slow_after" default:"1s" min:"1ms"`
	// Bytes times receivers that one publisher may have on their way to other loops. With more it is not read from.
	CreditBytes Bytes `yaml:"credit_bytes" default:"64KiB" min:"1B"`
}

// SlowOverride is a section slow_consumers of a realm or of a role.
type SlowOverride struct {
	// As slow_consumers.policy; inherit takes what applies to the realm or to the router.
	Policy string `yaml:"policy" default:"inherit" enum:"inherit,disconnect,drop_newest,drop_oldest,keep_latest"`
	// As slow_consumers.backlog_bytes_max; inherit takes what applies to the realm or to the router.
	BacklogBytesMax Bytes `yaml:"backlog_bytes_max" default:"inherit" auto:"inherit" min:"64KiB"`
	// As slow_consumers.backlog_events_max; inherit takes what applies to the realm or to the router.
	BacklogEventsMax int `yaml:"backlog_events_max" default:"inherit" auto:"inherit" min:"1"`
	// As slow_consumers.backlog_age_max; inherit takes what applies to the realm or to the router.
	BacklogAgeMax time.Duration `yaml:"backlog_age_max" default:"inherit" auto:"inherit" min:"1ms"`
}

// Cookies is the section cookies.
type Cookies struct {
	// The name of the cookie. With TLS it begins with __Host- besides.
	Name string `yaml:"name" default:"banyan" form:"token"`
	// How long a browser stays known.
	MaxAge time.Duration `yaml:"max_age" default:"168h" min:"1s" max:"8760h"`
	// Logins that are known at once. The one that was used least recently is forgotten.
	EntriesMax int `yaml:"entries_max" default:"100000" min:"1" max:"10000000"`
}

// Drain is the section drain.
type Drain struct {
	// How long connections are still accepted after a stop was asked for, while GET /healthz answers 503 already, so
	// that load balancers notice. A second signal stops at once.
	Grace time.Duration `yaml:"grace" default:"0" min:"1ms" zero:"none"`
	// The time over which the router's GOODBYE is spread, so that clients do not all come back at once. It takes
	// less time if fewer than a hundred clients a second are told, and without this key if timeout is shorter.
	// Calls that are under way may take as long to end: their clients are told last.
	Spread time.Duration `yaml:"spread" default:"3s" min:"1ms" zero:"all at once"`
	// The longest time that a stop may take in all. Service managers kill after 10s unless told otherwise.
	Timeout time.Duration `yaml:"timeout" default:"8s" min:"1ms" max:"24h" reload:"restart"`
}

// Log is the section log.
type Log struct {
	// The least level that is written.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error"`
	// auto is text, with colours on a terminal.
	Format string `yaml:"format" default:"auto" enum:"auto,text,json" reload:"restart"`
}
