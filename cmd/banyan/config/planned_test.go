//go:build linux

package config

import (
	"slices"
	"strings"
	"testing"
)

func init() { refusePlanned = false }

// loadPlanned loads a text as the router does.
func loadPlanned(t *testing.T, text string) (*File, *Report) {
	t.Helper()
	refusePlanned = true
	defer func() { refusePlanned = false }()
	return (&Loader{Now: today}).Parse("f", t.TempDir(), []byte(text))
}

// withRealm is a file with one realm that has more in it.
func withRealm(more string) string {
	return "realms:\n  - uri: a\n    auth: { anonymous: {} }\n    roles: [{ name: anonymous }]\n" + more
}

// TestPlannedAreRefused: an option that nothing acts on is an error if it differs from its default, and none if it
// does not.
func TestPlannedAreRefused(t *testing.T) {
	for _, c := range []struct{ text, path string }{
		{
			"process: { data_dir: d }\n" +
				"listeners: [{ address: 127.0.0.1:0, tls: { acme: { domains: [a.example] } } }]",
			"listeners.0.tls.acme",
		},
	} {
		f, r := loadPlanned(t, c.text)
		refused := slices.ContainsFunc(r.Problems, func(p Problem) bool {
			return p.Path == c.path && p.Severity == Error && strings.Contains(p.Message, "not in this version yet")
		})
		if f != nil || !refused {
			t.Errorf("%s: %v", c.text, r)
		}
	}
	for _, text := range []string{
		"", Example(), "slow_consumers: { backlog_events_max: 0 }", "slow_consumers: { policy: drop_newest }",
	} {
		if f, r := loadPlanned(t, text); f == nil {
			t.Errorf("%.60s: %v", text, r)
		}
	}
}
