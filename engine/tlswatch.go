//go:build linux

package engine

import (
	"maps"
	"time"
)

// credentialsEvery is how often the files of credentials are looked at. A change is read when the next look finds no
// further one, so that a certificate and its key are not read apart.
const credentialsEvery = 2 * time.Second

// watchCredentials reads the files of TLS again when they have changed, until the engine stops.
func (e *Engine) watchCredentials() {
	all := map[*Credentials]string{}
	for address, t := range e.cfg.TLS {
		all[t.Credentials] = e.cfg.listenName(address)
	}
	if len(all) == 0 {
		return
	}
	e.pool.workers.Go(func() {
		tick := time.NewTicker(e.credentialsEvery)
		defer tick.Stop()
		for {
			select {
			case <-e.pool.ctx.Done():
				return
			case <-tick.C:
			}
			for c, name := range all {
				e.refresh(c, name)
			}
		}
	})
}

// refresh looks at the files of c once.
func (e *Engine) refresh(c *Credentials, listener string) {
	was := c.now.Load().authorityIDs
	switch did, err := c.refresh(); {
	case err != nil:
		e.cfg.Log.Warn("changed files of TLS cannot be used; the listener goes on with what it has", "cause", err,
			"listener", listener)
	case did:
		for _, x := range c.Expiries() {
			e.cfg.Log.Info("a certificate was read again", "file", x.File, "valid_until", x.NotAfter,
				"listener", listener)
		}
		if e.cfg.AuthoritiesChanged != nil && !maps.Equal(was, c.now.Load().authorityIDs) {
			e.cfg.AuthoritiesChanged()
		}
	}
}
