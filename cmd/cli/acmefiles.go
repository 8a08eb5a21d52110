//go:build acme

package cli

import (
	"context"
	"errors"
	"path"
	"sync"

	"github.com/caddyserver/certmagic"
)

// acmeFiles are the folder for certificates. After close nothing is written there any more: an order that goes on for
// a moment neither takes a lock nor makes a file. Any goroutine.
type acmeFiles struct {
	certmagic.FileStorage

	mu     sync.RWMutex // held for reading while something is written
	closed bool         // guarded by mu
}

var errFilesClosed = errors.New("the router stops")

// Store implements certmagic.Storage.
func (f *acmeFiles) Store(ctx context.Context, key string, value []byte) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return errFilesClosed
	}
	return f.FileStorage.Store(ctx, key, value)
}

// List implements certmagic.Storage. It tells of no accounts: where the file has no email, certmagic would take that
// of the account that was made last, and for an account without one, which another order makes at the same moment,
// the name of its folder.
func (f *acmeFiles) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if path.Base(prefix) == "users" {
		return nil, nil
	}
	return f.FileStorage.List(ctx, prefix, recursive)
}

// Lock implements certmagic.Storage. It waits until whoever has the lock gives it back.
func (f *acmeFiles) Lock(ctx context.Context, name string) error {
	for {
		if ok, err := f.TryLock(ctx, name); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// TryLock implements certmagic.TryLocker. It gives up after about a second.
func (f *acmeFiles) TryLock(ctx context.Context, name string) (bool, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return false, errFilesClosed
	}
	return f.FileStorage.TryLock(ctx, name)
}

// close waits for what is being written.
func (f *acmeFiles) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
}
