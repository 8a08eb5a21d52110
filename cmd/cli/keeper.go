package cli

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"banyan/cmd/config"
	"banyan/realm"
	"banyan/realm/history/disk"
)

const (
	// historyFile is the name of the file in process.data_dir.
	historyFile = "history.db"
	// expireInterval is how often events are dropped that are too old.
	expireInterval = time.Minute
	// historyCloseTimeout is how long a stop waits for the disk.
	historyCloseTimeout = 10 * time.Second
)

// A keeper has the history on disk: the file is opened when a realm wants it first, and closed after the loops have
// ended. One goroutine at a time opens; any closes.
type keeper struct {
	config  disk.Config // fixed
	dataDir string      // fixed
	stopped chan struct{}

	mu   sync.Mutex
	disk *disk.Store // guarded by mu; nil: nobody has wanted it
	once sync.Once
}

// newKeeper makes one. The folder and the bounds of the disk are those that the router was started with.
func newKeeper(f *config.File, log *slog.Logger) *keeper {
	h := &f.History
	k := &keeper{dataDir: f.Process.DataDir, stopped: make(chan struct{})}
	k.config = disk.Config{
		Path: filepath.Join(f.Process.DataDir, historyFile), BytesMax: int64(h.DiskBytesMax),
		QueueBytesMax: int(h.DiskQueueBytesMax), Gather: h.DiskWait,
		Report: func(text string) { log.Error("history on disk", "problem", text) },
	}
	if h.DiskWait == 0 {
		k.config.Gather = -1
	}
	return k
}

var errNoDataDir = errors.New("history on disk needs process.data_dir, which takes effect by a restart")

// open opens the file if a realm of c wants it, and gives it to c.
func (k *keeper) open(c *realm.Config) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.disk == nil && wantsDisk(c) {
		if k.dataDir == "" {
			return errNoDataDir
		}
		if err := makeDataDir(k.dataDir); err != nil {
			return err
		}
		opened, err := disk.Open(k.config)
		if err != nil {
			return &hintedError{
				code: exitFailed, what: "cannot open the history in process.data_dir " + k.dataDir, why: err,
				try: "let the user of the router write there, or keep no history on disk",
			}
		}
		k.disk = opened
	}
	if k.disk != nil { // no interface around nil
		c.Disk = k.disk
	}
	return nil
}

// wantsDisk reports whether a realm keeps history on disk.
func wantsDisk(c *realm.Config) bool {
	return slices.ContainsFunc(c.Realms, func(rc realm.RealmConfig) bool {
		return slices.ContainsFunc(rc.History, func(h realm.History) bool { return h.OnDisk })
	})
}

// expire drops what is too old, until close.
func (k *keeper) expire(r *realm.Router) {
	ticker := time.NewTicker(expireInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			r.ExpireHistory(now)
		case <-k.stopped:
			return
		}
	}
}

// close writes what the disk has not written yet, and closes the file. It may be called twice.
func (k *keeper) close() error {
	k.once.Do(func() { close(k.stopped) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.disk == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), historyCloseTimeout)
	defer cancel()
	return k.disk.Close(ctx)
}
