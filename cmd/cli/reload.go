package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"banyan/cmd/config"
	"banyan/engine"
	"banyan/realm"
)

// A reloadReport tells what a reload did. The names of its JSON form do not change.
type reloadReport struct {
	File    string `json:"file"`
	Applied bool   `json:"applied"`
	// Changes are in force now. Those that need a restart are not among them.
	Changes []config.Change `json:"changes"`
	// Restart has every option that differs from what the router was started with and needs a restart.
	Restart []config.Change `json:"restart"`
	// Sessions is what it did to those who are there.
	Sessions sessionsReport `json:"sessions"`
	// Problems are what is wrong with the file: errors if it was refused, else warnings.
	Problems []config.Problem `json:"problems"`
	// Error is why it was refused, if that has no place in the file.
	Error string `json:"error,omitempty"`
}

// A sessionsReport counts what a reload took away.
type sessionsReport struct {
	RealmClosed   int `json:"realm_closed"`  // sessions told to leave: their realm is not there any more
	LoginLost     int `json:"login_lost"`    // sessions told to leave: they could not log in any more
	RoleGone      int `json:"role_gone"`     // sessions told to leave: their role is not there any more
	Subscriptions int `json:"subscriptions"` // that the role may not have any more
	Registrations int `json:"registrations"` // that the role may not have any more
	// Unfinished says that loops are still at it, and that the numbers are not known.
	Unfinished bool `json:"unfinished,omitempty"`
}

// String tells what happened to sessions, empty if nothing did.
func (r *sessionsReport) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{r.RealmClosed, "session told to leave: the realm is closed"},
		{r.LoginLost, "session told to leave: who is there could not log in any more"},
		{r.RoleGone, "session told to leave: the role is not there any more"},
		{r.Subscriptions, "subscription taken away"},
		{r.Registrations, "registration taken away"},
	} {
		if p.n > 0 {
			what, rest, _ := strings.Cut(p.what, " ")
			parts = append(parts, "  "+counted(p.n, what)+" "+rest+"\n")
		}
	}
	if r.Unfinished {
		parts = append(parts, "  loops are still busy with sessions that have lost a right\n")
	}
	return strings.Join(parts, "")
}

// reload reads the configuration again and applies it, all or nothing: one that is refused leaves the one before in
// force. by says in the log who asked. Any goroutine; reloads take turns.
func (s *service) reload(by string) *reloadReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &reloadReport{
		File: s.source.file, Changes: []config.Change{}, Restart: []config.Change{}, Problems: []config.Problem{},
	}
	f, report, err := s.settled()
	r.Problems = append(r.Problems, report.Problems...)
	if err == nil {
		err = report.Err()
		s.wrong = err != nil
	}
	if err == nil {
		r.Sessions, err = s.apply(f)
	}
	if err != nil {
		r.Error = err.Error()
		s.refused = r.Error
		s.logRefusal(by, r)
		return r
	}
	r.Applied, s.refused = true, ""
	for _, c := range config.Diff(s.current, f) {
		if c.Live {
			r.Changes = append(r.Changes, c)
		}
	}
	s.restart = nil
	for _, c := range config.Diff(s.started, f.WithoutUsers()) {
		if !c.Live {
			r.Restart = append(r.Restart, c)
			s.restart = append(s.restart, c.Path)
		}
	}
	s.current, s.applied = f, time.Now()
	s.logReload(by, r, report)
	return r
}

// How long the files of a configuration have to stay as they are before a reload believes them, and how often it
// looks again if they do not.
const (
	settleTime  = 20 * time.Millisecond
	settleTries = 50
)

var errUnsettled = errors.New("the files of the configuration change all the time; write a new file and rename it")

// settled reads the configuration once nobody is writing: the first half of a file may be one in good order.
func (s *service) settled() (*config.File, *config.Report, error) {
	for range settleTries {
		f, report := s.source.read(s.env)
		if report.Err() != nil {
			return f, report, nil
		}
		if s.pause(settleTime); config.Texts(f.Sources) == f.Texts {
			return f, report, nil
		}
	}
	return nil, &config.Report{}, errUnsettled
}

// listeners are those that run, with what f says about those that it still has: the rest changes by a restart.
func (s *service) listeners(f *config.File) []config.Listener {
	all := slices.Clone(s.started.Listeners)
	for i := range all {
		for k := range f.Listeners {
			if listenerName(&f.Listeners[k]) == listenerName(&all[i]) {
				all[i] = f.Listeners[k]
			}
		}
	}
	return all
}

// live is what f says to the engine that runs. Its budget is that of the start.
func (s *service) live(f *config.File) engine.Live {
	live := liveConfig(f, s.listeners(f))
	live.Cookie = cookieRules(f, &s.started.Cookies, s.router.keys.cookies)
	live.MessageBytesMax = int(min(config.Bytes(live.MessageBytesMax), s.started.MessageBytesFit()))
	stage := s.stage.Load()
	live.Draining = stage >= draining
	live.Leaving = stage >= leaving
	return live
}

// inForce is the configuration in force. Any goroutine.
func (s *service) inForce() *config.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// reviewTimeout is how long a reload waits for loops to look after the sessions that are there. They go on after it.
const reviewTimeout = 20 * time.Second

// apply puts a configuration in force. On error nothing has changed.
func (s *service) apply(f *config.File) (done sessionsReport, err error) {
	k, err := newKeys(f, s.router.keys, s.log)
	if err != nil {
		return done, err
	}
	rc, err := realmConfig(f, s.listeners(f), s.router.loops, k, s.log)
	if err == nil {
		err = s.router.history.open(&rc)
	}
	if err != nil {
		k.refuse()
		return done, err
	}
	was, is := s.listeners(s.current), s.listeners(f)
	if err := s.router.acme.prepare(is); err != nil {
		k.refuse()
		return done, err
	}
	if err := s.router.applyLive(s.live(f)); err != nil {
		k.refuse()
		return done, err
	}
	if err := s.router.replaceTLS(was, is); err != nil {
		k.refuse()
		return done, errors.Join(err, s.router.applyLive(s.live(s.current)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), reviewTimeout)
	defer cancel()
	report, err := s.router.realms.Apply(ctx, rc)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, realm.ErrStopped):
		done.Unfinished = true // it is in force all the same
	case err != nil:
		k.refuse()
		return done, errors.Join(err, s.router.applyLive(s.live(s.current)), s.router.replaceTLS(is, was))
	}
	k.accept()
	s.router.keys = k
	s.router.acme.apply(is)
	s.level.Set(levelOf(f.Log.Level))
	done.RealmClosed, done.LoginLost, done.RoleGone = report.SessionsClosed, report.SessionsDismissed,
		report.SessionsRoleGone
	done.Subscriptions, done.Registrations = report.Subscriptions, report.Registrations
	return done, nil
}

func (s *service) logRefusal(by string, r *reloadReport) {
	s.log.Error("the configuration is refused, and the one before stays in force", "by", by, "error", r.Error)
	for _, p := range r.Problems {
		if p.Severity == config.Error {
			s.log.Error("the configuration is wrong", "option", p.Path, "at", placeOf(&p), "problem", p.Message,
				"try", p.Hint)
		}
	}
}

// changesLogged is how many changes the log names one by one. The report of banyan reload has them all.
const changesLogged = 100

func (s *service) logReload(by string, r *reloadReport, report *config.Report) {
	warn(s.log, report)
	s.log.Info("reloaded", "by", by, "file", r.File, "changes", len(r.Changes), "need_restart", len(r.Restart),
		"sessions_told_to_leave", r.Sessions.RealmClosed+r.Sessions.LoginLost+r.Sessions.RoleGone,
		"subscriptions_removed", r.Sessions.Subscriptions, "registrations_removed", r.Sessions.Registrations)
	for _, c := range r.Changes[:min(len(r.Changes), changesLogged)] {
		s.log.Info("changed", "option", c.Path, "old", c.Old, "new", c.New)
	}
	for _, c := range r.Restart[:min(len(r.Restart), changesLogged)] {
		s.log.Warn("a change needs a restart", "option", c.Path, "old", c.Old, "new", c.New)
	}
}

// String is the report for people.
func (r *reloadReport) String() string {
	var b strings.Builder
	if !r.Applied {
		fmt.Fprintf(&b, "%s is refused, and the configuration before stays in force: %s\n", r.File, r.Error)
		return b.String()
	}
	fmt.Fprintf(&b, "%s is in force: %s\n", r.File, counted(len(r.Changes), "change"))
	line := func(c config.Change) {
		switch {
		case c.Old == "":
			fmt.Fprintf(&b, "  added    %s\n", strings.TrimSpace(c.Path+" "+strings.TrimPrefix(c.New, "(there)")))
		case c.New == "":
			fmt.Fprintf(&b, "  removed  %s\n", c.Path)
		default:
			fmt.Fprintf(&b, "  changed  %s from %s to %s\n", c.Path, c.Old, c.New)
		}
	}
	for _, c := range r.Changes {
		line(c)
	}
	b.WriteString(r.Sessions.String())
	if len(r.Restart) > 0 {
		fmt.Fprintf(&b, "%s a restart:\n", map[bool]string{true: "1 difference needs", false: fmt.Sprint(
			len(r.Restart)) + " differences need"}[len(r.Restart) == 1])
		for _, c := range r.Restart {
			line(c)
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s: %s: %s: %s\n", placeOf(&p), p.Severity, p.Path, p.Message)
	}
	return b.String()
}

// placeOf is where a problem is.
func placeOf(p *config.Problem) string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.File != "" {
		return p.File
	}
	return p.Source
}

// watch looks at the files of the configuration, and reloads when they have changed and were the same twice in a
// row: somebody may be writing. A configuration that was refused is tried again when the files change again, or when
// it has no error any more, for instance because a file that it names has come.
func (s *service) watch(ctx context.Context, every time.Duration) {
	if every == 0 || s.source.file == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	paths, known := s.texts()
	w := settling{known: known, before: known}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if (w.look(config.Texts(paths)) || s.cured()) && s.reload("the file changed").Applied {
			paths, w.known = s.texts()
			w.before = w.known
		}
	}
}

// cured reports whether the configuration was refused for an error in its files, and has none now.
func (s *service) cured() bool {
	s.mu.Lock()
	wrong := s.wrong
	s.mu.Unlock()
	if !wrong {
		return false
	}
	_, report := s.source.read(s.env)
	return report.Err() == nil
}

// A settling tells when something has changed and does not change any more.
type settling struct {
	known  string // what was acted on
	before string // at the last look
}

// look reports whether it is time to act on now: it is not what was acted on, and it was the same at the last look.
func (w *settling) look(now string) bool {
	if now == w.known || now != w.before {
		w.before = now
		return false
	}
	w.known = now
	return true
}

// texts are the files that the configuration in force was made of, and what they said.
func (s *service) texts() (paths []string, texts string) {
	f := s.inForce()
	return f.Sources, f.Texts
}
