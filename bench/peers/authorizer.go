package peers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"banyan/bench/client"
	"banyan/bench/load"
)

// The client that decides what the clients of a load may do, of a plan whose Access is Dynamic.
const (
	authorizerUser      = "authorizer"
	authorizerProcedure = "authorizer.may"
	authorizerCache     = "10m" // longer than a load
)

// authorized runs f beside a session that allows everything, and lets the answers be kept. Every session of a load
// does one thing with one URI, so it has to be asked about each of them once. A router that asks more often does not
// keep the answers, and one that asks less often has decided by itself: both fail the verification.
func authorized(ctx context.Context, url string, login *client.Login, o *load.Options,
	f func() (*load.Report, error),
) (r *load.Report, err error) {
	s, err := client.Dial(ctx, url, client.Options{
		Serializer: o.Serializer, Realm: o.Realm, TLS: o.TLS, Login: login,
	})
	if err != nil {
		return nil, fmt.Errorf("authorizer: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var asked atomic.Int64
	_, err = s.Register(ctx, client.Topic{URI: authorizerProcedure}, nil,
		func(context.Context, *client.Invocation) (client.Values, error) {
			asked.Add(1)
			return client.Values{Args: []any{map[string]any{"allow": true, "cache": true}}}, nil
		})
	if err != nil {
		return nil, fmt.Errorf("authorizer: %w", err)
	}
	if r, err = f(); err == nil {
		judgeAsked(r, asked.Load())
	}
	return r, err
}

// judgeAsked compares how often the authorizer was asked with the sessions of the load.
func judgeAsked(r *load.Report, asked int64) {
	p := &r.Plan
	wrong := asked - int64(p.Publishers+p.Subscribers+p.Callers+p.Callees)
	what := "decisions asked for more than once"
	if wrong < 0 {
		wrong, what = -wrong, "decisions that nobody was asked for"
	}
	if wrong == 0 {
		return
	}
	r.Verified.OK = false
	if r.Verified.Failures == nil {
		r.Verified.Failures = map[string]int64{}
	}
	r.Verified.Failures[what] += wrong
}
