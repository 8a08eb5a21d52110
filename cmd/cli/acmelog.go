//go:build acme

package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap/zapcore"
)

// event tells the log what happens to the certificates of s, and opens the port for http-01 while it is needed. The
// settings are those of s; domains may have changed since. certmagic calls it, and waits for it. An error of
// cert_obtaining ends the order.
func (l *acmeListener) event(ctx context.Context, s *acmeSet, event string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	log := l.acme.log.With("domain", domain, "listener", l.name)
	if l.acme.closed.Load() {
		return nil
	}
	answers := slices.Contains(s.want.Challenges, "http-01")
	ended := func() {
		if answers {
			l.acme.answers.done(l.host, s.want.PortHTTP, domain)
		}
	}
	switch event {
	case "cert_obtaining":
		if now := l.now.Load(); now == nil || !now.domains[domain] { // a reload has removed it meanwhile
			s.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: domain}})
			return errNotWanted
		}
		log.Info("a certificate is ordered", "directory", s.want.Directory, "renewal", renewal)
		if answers {
			l.acme.answers.open(l.host, s.want.PortHTTP, domain, l.acme.answer, log)
		}
	case "cert_obtained":
		ended()
		path, _ := data["certificate_path"].(string)
		log.Info("a certificate was fetched", "valid_until", s.validUntil(ctx, path), "renewal", renewal)
	case "cert_failed":
		ended()
		if ctx.Err() == nil { // or nobody wants it any more
			log.Warn("a certificate could not be fetched; it is tried again later", "error", data["error"],
				"renewal", renewal)
		}
	case "cached_managed_cert":
		select {
		case l.loaded <- struct{}{}:
		default:
		}
	case "cert_ocsp_revoked":
		log.Warn("the authority has revoked a certificate; another one is ordered", "domains", data["subjects"])
	}
	return nil
}

var errNotWanted = errors.New("the domain is not wanted any more")

// validUntil is the end of a certificate in the folder; zero if it cannot be read.
func (s *acmeSet) validUntil(ctx context.Context, path string) (end time.Time) {
	text, err := s.magic.Storage.Load(ctx, path)
	if err != nil {
		return end
	}
	if block, _ := pem.Decode(text); block != nil {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			end = c.NotAfter
		}
	}
	return end
}

// An acmeLog passes on what certmagic says: errors as warnings, the rest for developers. Of orders that fail only
// event tells.
type acmeLog struct {
	acme   *acme
	log    *slog.Logger
	fields []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c *acmeLog) Enabled(level zapcore.Level) bool {
	return !c.acme.closed.Load() && c.log.Enabled(context.Background(), slogLevel(level))
}

func slogLevel(level zapcore.Level) slog.Level {
	if level >= zapcore.ErrorLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// With implements zapcore.Core.
func (c *acmeLog) With(fields []zapcore.Field) zapcore.Core {
	return &acmeLog{c.acme, c.log, append(slices.Clone(c.fields), fields...)}
}

// Check implements zapcore.Core.
func (c *acmeLog) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c *acmeLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clone(c.fields), fields...) {
		f.AddTo(values)
	}
	level := slogLevel(e.Level)
	if text := fmt.Sprint(values.Fields["error"]); e.Message == "could not get certificate from issuer" ||
		strings.Contains(text, "] Obtain: ") || strings.Contains(text, "] Renew: ") ||
		strings.Contains(text, errNotWanted.Error()) {
		level = slog.LevelDebug
	}
	args := make([]any, 0, 2*len(values.Fields))
	for _, k := range slices.Sorted(maps.Keys(values.Fields)) {
		args = append(args, k, values.Fields[k])
	}
	c.log.Log(context.Background(), level, "ACME: "+e.Message, args...)
	return nil
}

// Sync implements zapcore.Core.
func (c *acmeLog) Sync() error { return nil }
