package cli

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
)

// TestServeConflicts: flags that contradict each other are a usage error that names both; equal limits do not, and
// neither does a default that cannot be reached.
func TestServeConflicts(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{
			"--peer-message-bytes-min 1025 --message-bytes-max 1KiB",
			"--peer-message-bytes-min: 1025B is more than --message-bytes-max, which is 1KiB",
		},
		{"--peer-message-bytes-min 1024 --message-bytes-max 1KiB", ""},
		{"--message-bytes-max 512", ""}, // less than the default of --uri-bytes-max
		{
			"--uri-bytes-max 1025 --message-bytes-max 1KiB",
			"--uri-bytes-max: 1025 is more than --message-bytes-max, which is 1KiB",
		},
		{"--uri-bytes-max 1024 --message-bytes-max 1KiB", ""},
		{"--patterns-max 3 --subscriptions-max 2", "--patterns-max: 3 is more than --subscriptions-max, which is 2"},
		{"--patterns-max 2 --subscriptions-max 2", ""},
		{"--subscriptions-max 2", ""},
		{
			"--patterns-max 100001",
			"--patterns-max: 100001 is more than --subscriptions-max, which is 100000 by default",
		},
		{"--patterns-max 100000", ""},
		{
			"--backlog-bytes-max 33554433 --budget-bytes 32MiB",
			"--backlog-bytes-max: 33554433B is more than --budget-bytes, which is 32MiB",
		},
		{"--backlog-bytes-max 33554432 --budget-bytes 32MiB", ""},
		{"--backlog-bytes-max 1024GiB --budget-bytes 0", ""},
		{
			"--message-bytes-max 7340033 --budget-bytes 16MiB",
			"--message-bytes-max: 7340033B is too much for --budget-bytes 16MiB",
		},
		{"--message-bytes-max 7340033 --budget-bytes 16MiB", "at most 7MiB is possible"},
		{"--message-bytes-max 7MiB --budget-bytes 16MiB", ""},
		{"--message-bytes-max 16MiB --budget-bytes 0", ""},
		{"--message-bytes-max 7340033 --budget-bytes 16777217", "is too much for --budget-bytes 16777217B"},
		{"--message-bytes-max 7340033 --budget-bytes 16777218", ""},
		{
			"--peer-message-bytes-min 4194305 --budget-bytes 16MiB",
			"is more than --message-bytes-max, which is 4MiB by default",
		},
		{"--peer-message-bytes-min 4MiB --budget-bytes 16MiB", ""},
		{
			"--peer-message-bytes-min 2KiB --message-bytes-max 1KiB --budget-bytes 16MiB",
			"is more than --message-bytes-max, which is 1KiB",
		},
		{"--cpu-profile-rate 50", "--cpu-profile-rate 50 has no effect without --cpu-profile"},
		{"--cpu-profile-rate 50 --cpu-profile /dev/null", ""},
		{"--budget-bytes 16MiB", ""}, // less than the default of --backlog-bytes-max
		{
			"--credit-bytes 33554433 --budget-bytes 32MiB",
			"--credit-bytes: 33554433B is more than --budget-bytes, which is 32MiB",
		},
		{"--credit-bytes 33554432 --budget-bytes 32MiB", ""},
		{
			"--goodbye-timeout 2001ms --shutdown-timeout 2s",
			"--goodbye-timeout: 2.001s is more than --shutdown-timeout, which is 2s",
		},
		{"--goodbye-timeout 2s --shutdown-timeout 2s", ""},
		{
			"--goodbye-timeout 8001ms",
			"--goodbye-timeout: 8.001s is more than --shutdown-timeout, which is 8s by default",
		},
		{"--goodbye-timeout 8s", ""},
		{"--shutdown-timeout 1s", ""},
		{
			"--ping-interval 10s --ping-timeout 9999ms",
			"--ping-timeout: 9.999s is shorter than --ping-interval, which is 10s",
		},
		{"--ping-interval 10s --ping-timeout 10s", ""},
		{"--ping-timeout 24s", "--ping-timeout: 24s is shorter than --ping-interval, which is 25s"},
		{"--ping-interval 0 --ping-timeout 10s", "--ping-timeout: it has no effect with --ping-interval 0"},
		{"--ping-interval 0 --ping-timeout 0", ""},
		{"--ping-interval 0 --rawsocket-pings", "--rawsocket-pings: it has no effect with --ping-interval 0"},
		{"--ping-interval 0 --rawsocket-pings=false", ""},
		{"--realm abc --uri-bytes-max 2", "--realm: the name is longer than --uri-bytes-max, which is 2"},
		{"--realm abc --uri-bytes-max 3", ""},
		{
			"--realm a --realm b --realms-max 1 --auto-create-realms",
			"--realms-max: 1 is less than the 2 realms that there are",
		},
		{"--realm a --realm b --realms-max 2", "--realms-max: it has no effect without --auto-create-realms"},
		{"--realms-max 10000", "--realms-max: it has no effect without --auto-create-realms"},
		{"--realms-max 5 --auto-create-realms=false", "--realms-max: it has no effect without --auto-create-realms"},
		{"--realms-max 2 --auto-create-realms", ""},
		{"--auto-create-realms", ""},
		{
			"--realm a --realm b --realms-max 2 --auto-create-realms",
			"--realms-max: 2 leaves no room for realms of templates",
		},
		{"--realm a --realm b --realms-max 3 --auto-create-realms", ""},
	} {
		_, err := readFlags(strings.Fields(c.flags)...)
		var usage *hintedError
		if err != nil && (!errors.As(err, &usage) || usage.code != exitUsage) {
			t.Errorf("%s: %v is no usage error", c.flags, err)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.want)
		}
	}
}

// TestMessageLimitFollowsBudget: without --message-bytes-max the longest message is one that the budget has room for,
// and the start says so. A flag stands as it is.
func TestMessageLimitFollowsBudget(t *testing.T) {
	for flags, want := range map[string]struct {
		most   int
		banner string // "": nothing is said
	}{
		"":                        {16 << 20, ""},
		"--budget-bytes 0":        {16 << 20, ""},
		"--budget-bytes 1GiB":     {16 << 20, ""},
		"--budget-bytes 64MiB":    {16 << 20, ""},
		"--budget-bytes 67108863": {16<<20 - 1, "at most 16777215B, a quarter of --budget-bytes"},
		"--budget-bytes 16MiB":    {4 << 20, "  a message  at most 4MiB, a quarter of --budget-bytes"},
		"--budget-bytes 16MiB --uri-bytes-max 16":       {4 << 20, "at most 4MiB"},
		"--budget-bytes 16MiB --message-bytes-max 7MiB": {7 << 20, ""},
		"--budget-bytes 16MiB --message-bytes-max 512":  {512, ""},
	} {
		f, err := readFlags(strings.Fields(flags)...)
		if err != nil {
			t.Fatalf("%s: %v", flags, err)
		}
		if e, err := engineConfig(f, nil, nil); err != nil || e.MessageBytesMax != want.most {
			t.Errorf("%q: at most %d bytes, %v, want %d", flags, e.MessageBytesMax, err, want.most)
		}
		var banner bytes.Buffer
		announce(&banner, f, []net.Addr{&net.TCPAddr{Port: 8080}}, 1)
		if said := banner.String(); strings.Contains(said, "a message") != (want.banner != "") ||
			!strings.Contains(said, want.banner) {
			t.Errorf("%q: the start says %s, want %q", flags, said, want.banner)
		}
	}
}

// publishOf is a PUBLISH of n bytes.
func publishOf(n int) []byte {
	head, tail := `[16,1,{"acknowledge":true},"com.a",["`, `"]]`
	return []byte(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
}

// TestBudgetTakesTwoMessages: with the smallest budget, two of the longest messages that are accepted by default may
// come one behind the other while their subscriber reads nothing, and reach it.
func TestBudgetTakesTwoMessages(t *testing.T) {
	r := startFlags(t, "--budget-bytes", "16MiB")
	reader, writer := r.talk(t).hello(), r.talk(t).hello()
	reader.says(`[32,1,{},"com.a"]`, "[33,")
	for range 3 {
		for range 2 {
			writer.Queue(publishOf(4 << 20))
		}
		for range 2 {
			if answer, err := writer.Receive(); err != nil || !bytes.HasPrefix(answer, []byte("[17,")) {
				t.Fatalf("%.80s, %v, want PUBLISHED", answer, err)
			}
		}
		for range 2 {
			event, err := reader.Receive()
			if err != nil || !bytes.HasPrefix(event, []byte("[36,")) || len(event) < 4<<20-64 {
				t.Fatalf("%d bytes, %.80s, %v, want the event", len(event), event, err)
			}
		}
	}
	if s := r.engine.Stats(); s.BudgetClosed != 0 {
		t.Errorf("%d connections were closed for the budget", s.BudgetClosed)
	}
}

// TestBudgetTakesOneMessage: with the smallest budget, messages up to the longest one that may be asked for arrive,
// and one that is longer by a byte is refused for its length.
func TestBudgetTakesOneMessage(t *testing.T) {
	const most = 7 << 20
	r := startFlags(t, "--budget-bytes", "16MiB", "--message-bytes-max", "7MiB")
	k := r.talk(t).hello()
	for _, less := range []int{0, 1, 4 << 10, 64 << 10, 1<<20 - 1, 1 << 20} { // chunks end elsewhere
		k.Queue(publishOf(most - less))
		if answer, err := k.Receive(); err != nil || !bytes.HasPrefix(answer, []byte("[17,")) {
			t.Fatalf("a message of %d bytes less than the limit: %s, %v", less, answer, err)
		}
	}
	k.Queue(publishOf(most + 1))
	if code := k.closed(); code != 1009 && code != 0 { // 0: reset, because the rest of the message was not read
		t.Errorf("close code %d", code)
	}
	if s := r.engine.Stats(); s.BudgetClosed != 0 || s.TooBig != 1 {
		t.Errorf("%d connections were closed for the budget, %d for their message", s.BudgetClosed, s.TooBig)
	}
}
