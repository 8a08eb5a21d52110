package main

import (
	"errors"
	"strings"
	"testing"
)

// TestServeConflicts: flags that contradict each other are a usage error that names both; equal limits do not, and
// neither does a default that cannot be reached.
func TestServeConflicts(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{
			"--peer-message-bytes-min 1025 --message-bytes-max 1KiB",
			"--peer-message-bytes-min 1025 is more than --message-bytes-max 1KiB",
		},
		{"--peer-message-bytes-min 1024 --message-bytes-max 1KiB", ""},
		{"--message-bytes-max 512", ""}, // less than the default of --uri-bytes-max
		{
			"--uri-bytes-max 1025 --message-bytes-max 1KiB",
			"--uri-bytes-max 1025 is more than --message-bytes-max 1KiB",
		},
		{"--uri-bytes-max 1024 --message-bytes-max 1KiB", ""},
		{"--patterns-max 3 --subscriptions-max 2", "--patterns-max 3 is more than --subscriptions-max 2"},
		{"--patterns-max 2 --subscriptions-max 2", ""},
		{"--subscriptions-max 2", ""},
		{
			"--patterns-max 1000001",
			"--patterns-max 1000001 is more than --subscriptions-max, which is 1000000 by default",
		},
		{"--patterns-max 1000000", ""},
		{
			"--backlog-bytes-max 33554433 --budget-bytes 32MiB",
			"--backlog-bytes-max 33554433 is more than --budget-bytes 32MiB",
		},
		{"--backlog-bytes-max 33554432 --budget-bytes 32MiB", ""},
		{"--backlog-bytes-max 1024GiB --budget-bytes 0", ""},
		{
			"--message-bytes-max 8388609 --budget-bytes 16MiB",
			"--message-bytes-max 8388609 is more than half of --budget-bytes 16MiB",
		},
		{"--message-bytes-max 8MiB --budget-bytes 16MiB", ""},
		{"--message-bytes-max 16MiB --budget-bytes 0", ""},
		{"--cpu-profile-rate 50", "--cpu-profile-rate 50 has no effect without --cpu-profile"},
		{"--cpu-profile-rate 50 --cpu-profile /dev/null", ""},
		{"--budget-bytes 16MiB", ""}, // less than the default of --backlog-bytes-max
		{"--credit-bytes 33554433 --budget-bytes 32MiB", "--credit-bytes 33554433 is more than --budget-bytes 32MiB"},
		{"--credit-bytes 33554432 --budget-bytes 32MiB", ""},
		{
			"--goodbye-timeout 2001ms --shutdown-timeout 2s",
			"--goodbye-timeout 2001ms is more than --shutdown-timeout 2s",
		},
		{"--goodbye-timeout 2s --shutdown-timeout 2s", ""},
		{
			"--goodbye-timeout 8001ms",
			"--goodbye-timeout 8001ms is more than --shutdown-timeout, which is 8s by default",
		},
		{"--goodbye-timeout 8s", ""},
		{"--shutdown-timeout 1s", ""},
		{"--ping-interval 10s --ping-timeout 9999ms", "--ping-timeout 9.999s is shorter than --ping-interval 10s"},
		{"--ping-interval 10s --ping-timeout 10s", ""},
		{"--ping-timeout 24s", "--ping-timeout 24s is shorter than --ping-interval, which is 25s by default"},
		{"--ping-interval 0 --ping-timeout 10s", "--ping-timeout 10s has no effect with --ping-interval 0"},
		{"--ping-interval 0 --ping-timeout 0", ""},
		{"--ping-interval 0 --rawsocket-pings", "--rawsocket-pings has no effect with --ping-interval 0"},
		{"--ping-interval 0 --rawsocket-pings=false", ""},
		{"--realm abc --uri-bytes-max 2", "--realm abc is longer than --uri-bytes-max 2"},
		{"--realm abc --uri-bytes-max 3", ""},
		{"--realm a --realm b --realms-max 1", "--realms-max 1: there are 2 realms already"},
		{"--realm a --realm b --realms-max 2", ""},
		{
			"--realm a --realm b --realms-max 2 --auto-create-realms",
			"--auto-create-realms has no effect with --realms-max 2",
		},
		{"--realm a --realm b --realms-max 3 --auto-create-realms", ""},
	} {
		cfg, err := parseServe(strings.Fields(c.flags)...)
		if err == nil {
			_, _, err = cfg.configs(nil)
			var usage *hintedError
			if err != nil && (!errors.As(err, &usage) || usage.code != exitUsage) {
				t.Errorf("%s: %v is no usage error", c.flags, err)
			}
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.want)
		}
	}
}
