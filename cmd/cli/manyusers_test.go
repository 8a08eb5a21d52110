package cli

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"banyan/cmd/config"
)

// manyUsers is a users file with n users, each with a password, and if all is true with a ticket and a key as well.
func manyUsers(n int, all bool) string {
	var b strings.Builder
	for i := range n {
		key := fmt.Sprintf("%032d", i)
		salt := base64.StdEncoding.EncodeToString([]byte(key[:16]))
		encoded := base64.StdEncoding.EncodeToString([]byte(key))
		fmt.Fprintf(&b, "user%05d:\n  role: user\n  scram: { kdf: argon2id13, salt: %s, iterations: 3, "+
			"memory: 65536, stored_key: %s, server_key: %s }\n", i, salt, encoded, encoded)
		if all {
			fmt.Fprintf(&b, "  ticket: { sha256: \"%064x\" }\n  cryptosign: [\"%064x\"]\n", i, i+1<<32)
		}
	}
	return b.String()
}

// liveBytes is how much of the heap is in use after a collection.
func liveBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyUsers: 10 000 users of a file cost so much memory, and so much work at a start or a reload, and no more: as
// many again cost about twice as much. Work is counted in allocations, because clocks of busy machines lie.
func TestManyUsers(t *testing.T) {
	type cost struct {
		held, allocated int64
		allocations     uint64
	}
	measure := func(users int, all bool) cost {
		t.Helper()
		dir := t.TempDir()
		for name, text := range map[string]string{
			"banyan.yaml": "realms:\n  - uri: a\n    auth: { wamp-scram: {}, ticket: {}, cryptosign: {} }\n" +
				"    roles: [{ name: user }]\n    users_file: users.yaml\n",
			"users.yaml": manyUsers(users, all),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := liveBytes()
		var m, n runtime.MemStats
		runtime.ReadMemStats(&m)
		begin := time.Now()
		f, report := (&config.Loader{Lean: true}).Load(filepath.Join(dir, "banyan.yaml"))
		if f == nil {
			t.Fatal(report)
		}
		c, err := realmConfig(f, f.Listeners, 1, readKeys(t, f), nil)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		runtime.ReadMemStats(&n)
		out := cost{liveBytes() - before, int64(n.TotalAlloc - m.TotalAlloc), n.Mallocs - m.Mallocs}
		t.Logf("%d users, all %v: %v, %+v", users, all, took, out)
		if len(f.Realms[0].Users) != users || c.Realms[0].Auth == nil {
			t.Errorf("%d users", len(f.Realms[0].Users))
		}
		return out
	}
	if c := measure(10_000, false); c.held > 10<<20 || c.allocated > 150<<20 || c.allocations > 2_500_000 {
		t.Errorf("10 000 users with passwords: %+v", c)
	}
	half, whole := measure(5_000, true), measure(10_000, true)
	if whole.held > 14<<20 || whole.allocated > 250<<20 || whole.allocated > 3*half.allocated ||
		whole.allocations > 3*half.allocations {
		t.Errorf("10 000 users with three credentials: %+v, half of them %+v", whole, half)
	}
}
