//go:build linux

package cli

import (
	"sync"
	"testing"

	"banyan/bench/client"
	"banyan/engine"
	"banyan/realm"
)

// TestSlowConsumersAreTold: a subscriber that stops reading is told of over the wire, under each policy.
func TestSlowConsumersAreTold(t *testing.T) {
	for _, policy := range []engine.SlowConsumer{
		engine.Disconnect, engine.DropNewest, engine.DropOldest, engine.KeepLatest,
	} {
		t.Run(policy.String(), func(t *testing.T) {
			r := startRouter(t, func(ec *engine.Config, _ *realm.Config) {
				ec.BacklogBytesMax, ec.SlowConsumer = 1<<20, policy
			})
			var mu sync.Mutex
			var told []any
			listener := r.join(t, msgpackWebSocket)
			if _, err := listener.Subscribe(t.Context(), client.Topic{URI: "wamp.session.x_on_slow"}, nil,
				func(e *client.Event) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, e.Args[1])
				}); err != nil {
				t.Fatal(err)
			}
			r.deafReader(t, "com.slow")
			what := "dropped"
			if policy == engine.Disconnect {
				what = "disconnected"
			}
			r.publishUntil(t, "com.slow", "the listener was told", func() bool {
				mu.Lock()
				defer mu.Unlock()
				for _, d := range told {
					d := d.(map[string]any)
					if d["policy"] == policy.String() && d[what] != false && d[what] != int64(0) {
						return true
					}
				}
				return false
			})
		})
	}
}
