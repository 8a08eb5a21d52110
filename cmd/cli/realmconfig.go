package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"banyan/cmd/config"
	"banyan/engine/port"
	"banyan/realm"
	"banyan/realm/auth"
)

// realmConfig is what a configuration says to the realms. listeners are those that run, in the order of the engine.
// The error joins all problems with files that hold secrets and keys, and with what only realms know how to check.
func realmConfig(f *config.File, listeners []config.Listener, loops int, k *keys, log *slog.Logger) (
	realm.Config, error,
) {
	l := &f.Limits
	r := realm.Config{
		RealmsMax:        l.RealmsMax,
		Agent:            f.Process.Agent,
		HelloTimeout:     l.HelloTimeout,
		AuthTimeout:      l.AuthTimeout,
		GoodbyeTimeout:   l.GoodbyeTimeout,
		AuthFailures:     authFailures(l),
		SubscriptionsMax: l.SubscriptionsMax,
		PatternsMax:      l.PatternsMax,
		RegistrationsMax: l.RegistrationsMax,
		CalleesMax:       l.CalleesMax,
		CallsMax:         l.CallsMax,
		FilterEntriesMax: l.FilterEntriesMax,
		URIBytesMax:      l.URIBytesMax,
		DeflateBytesMin:  int(l.DeflateBytesMin),
		HistoryBytesMax:  int64(f.History.MemoryBytesMax),
		DepthMax:         l.DepthMax,
		Loops:            loops,
		Log:              log,
	}
	if r.Agent == "" {
		r.Agent = "Banyan " + version
	}
	for i := range listeners {
		r.Listeners = append(r.Listeners, realm.Listener{
			Name:        listenerName(&listeners[i]),
			Anonymous:   anonymousRules[listeners[i].Anonymous],
			AuthMethods: listeners[i].AuthMethods,
		})
	}
	var problems []error
	for i := range f.Realms {
		one, err := oneRealm(&f.Realms[i], &f.SlowConsumers, k)
		if err != nil {
			problems = append(problems, fmt.Errorf("realm %s: %w", f.Realms[i].URI, err))
		}
		r.Realms = append(r.Realms, one)
	}
	for i := range f.Templates {
		t := &f.Templates[i]
		one, err := oneRealm(&t.Realm, &f.SlowConsumers, k)
		if err != nil {
			problems = append(problems, fmt.Errorf("template %s %q: %w", t.Match, t.URI, err))
		}
		r.Templates = append(r.Templates, realm.Template{Match: config.Policies[t.Match], RealmConfig: one})
	}
	return r, errors.Join(problems...)
}

// listenerName is what a listener is called: its name, or else its address.
func listenerName(l *config.Listener) string {
	if l.Name != "" {
		return l.Name
	}
	return l.Address
}

// authFailures are the limits of failed logins. 0 is no limit, which is negative there.
func authFailures(l *config.Limits) auth.LimiterConfig {
	perMinute := func(n int) float64 {
		if n == 0 {
			return -1
		}
		return float64(n)
	}
	return auth.LimiterConfig{
		AddressPerMinute: perMinute(l.AuthFailuresPerAddressMax),
		AuthIDPerMinute:  perMinute(l.AuthFailuresPerAuthidMax),
		AddressBitsV4:    l.AddressBitsV4,
		AddressBitsV6:    l.AddressBitsV6,
	}
}

// anonymousRules are the realm's words for those of a listener.
var anonymousRules = map[string]realm.Anonymous{
	"realm":    realm.AnonymousByRealm,
	"local":    realm.AnonymousLocal,
	"anywhere": realm.AnonymousAnywhere,
	"none":     realm.AnonymousNone,
}

// oneRealm is what a configuration says about one realm.
func oneRealm(rm *config.Realm, slow *config.SlowConsumers, k *keys) (realm.RealmConfig, error) {
	r := realm.RealmConfig{
		URI:              rm.URI,
		StrictURIs:       rm.StrictURIs,
		StrictRequestIDs: rm.StrictRequestIDs,
		EnforceRoles:     rm.EnforceRoles,
		ForbidDisclosure: rm.ForbidDisclosure,
		TimeoutSeconds:   rm.CallTimeoutUnit == "s",
		LaxPassthru:      !rm.PPTStrict,
		ModifyDetails:    rm.ModifyDetails,
		Sharding:         rm.Sharding,
		Anonymous:        anonymousFrom(rm),
		Quotas: realm.Quotas{
			SessionsMax:          rm.Quotas.SessionsMax,
			SessionsPerAuthIDMax: rm.Quotas.SessionsPerAuthidMax,
			SubscriptionsMax:     rm.Quotas.SubscriptionsMax,
			RegistrationsMax:     rm.Quotas.RegistrationsMax,
			CallsMax:             rm.Quotas.CallsMax,
		},
	}
	r.Retention, r.History = retention(&rm.Retention), histories(rm.History)
	r.Backlog, r.RoleBacklogs = backlogs(rm, slow)
	if plainAnonymous(rm) && rm.Everything("anonymous") {
		return r, nil // as without a file: nothing is asked and nothing is checked
	}
	var problem, other error
	r.Policy, problem = rolesPolicy(rm)
	r.Authorizers = authorizers(rm)
	if !plainAnonymous(rm) {
		r.Auth, other = authRealm(rm, k)
	}
	if h := rm.Auth.HTTP; h != nil {
		hook, err := newHook(h)
		r.Authenticator, other = hook, errors.Join(other, err)
	}
	return r, errors.Join(problem, other)
}

// plainAnonymous reports whether a realm admits anonymous clients only, as the realm does without auth.Realm.
func plainAnonymous(rm *config.Realm) bool {
	a := rm.Auth.Anonymous
	only := config.Auth{Anonymous: a}
	return a != nil && rm.Auth == only && rm.AuthidUniqueness == "allow" && len(rm.Users) == 0 &&
		a.Role == "anonymous" && len(a.From) == 1 && (a.From[0] == "local" || a.From[0] == "anywhere")
}

// anonymousFrom is from where a realm without auth.Realm admits anonymous clients.
func anonymousFrom(rm *config.Realm) realm.Anonymous {
	switch a := rm.Auth.Anonymous; {
	case a == nil:
		return realm.AnonymousNone
	case slices.Contains(a.From, "anywhere"):
		return realm.AnonymousAnywhere
	}
	return realm.AnonymousLocal
}

// backlogs bound what sessions of a realm, and of its roles, may have unsent; nil is what the router says for all.
func backlogs(rm *config.Realm, slow *config.SlowConsumers) (all *port.Backlog, roles map[string]*port.Backlog) {
	own := port.Backlog{
		BytesMax: int(slow.BacklogBytesMax), EventsMax: slow.BacklogEventsMax, AgeMax: slow.BacklogAgeMax,
		Policy: slowPolicies[slow.Policy],
	}
	if rm.SlowConsumers != nil {
		own = overridden(own, rm.SlowConsumers)
		all = &own
	}
	for i := range rm.Roles {
		if o := rm.Roles[i].SlowConsumers; o != nil {
			if roles == nil {
				roles = map[string]*port.Backlog{}
			}
			b := overridden(own, o)
			roles[rm.Roles[i].Name] = &b
		}
	}
	return all, roles
}

// overridden is b with what o says otherwise.
func overridden(b port.Backlog, o *config.SlowOverride) port.Backlog {
	if o.BacklogBytesMax > 0 {
		b.BytesMax = int(o.BacklogBytesMax)
	}
	if o.BacklogEventsMax > 0 {
		b.EventsMax = o.BacklogEventsMax
	}
	if o.BacklogAgeMax > 0 {
		b.AgeMax = o.BacklogAgeMax
	}
	if p, ok := slowPolicies[o.Policy]; ok {
		b.Policy = p
	}
	return b
}
