//go:build !acme

package cli

import (
	"crypto/tls"
	"log/slog"
	"net"

	"banyan/cmd/config"
	"banyan/engine"
)

// An acme fetches certificates in builds with -tags acme; see acme.go. In this one the section is refused when the
// file is checked, and there is never anything to do.
type acme struct{}

func newACME(*config.File, *slog.Logger) *acme { return nil }

func (*acme) certificates(string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil }

func (*acme) page(path string) engine.Page { return page(path) }

func (*acme) bound([]config.Listener, []net.Addr) {}

func (*acme) prepare([]config.Listener) error { return nil }

func (*acme) apply([]config.Listener) {}

func (*acme) close() {}
