// Package policy decides what sessions may do with URIs (PROTOCOL 11). It is the pure part of authorization: it has
// no loop, no socket, no clock and no goroutine.
//
//  1. Compile makes a Snapshot of the definitions of roles, or says everything that is wrong with them.
//  2. Role.Decide answers from the permissions of the role. A Decision that is not definitive is a question for the
//     dynamic authorizer of the role.
//  3. Cache.Get may know the answer. Otherwise the caller calls the authorizer procedure with Request.Arguments and
//     holds the session meanwhile.
//  4. ReadAnswer reads the result, Decision.Answered joins it with what the permissions say, and Cache.Put keeps it
//     if it may be kept. Whatever goes wrong on the way is authorization_failed, never a yes.
//
// Sessions of the router itself, and the session of the authorizer, are not asked about; the caller sees to that.
package policy

import "banyan/codec"

// A Snapshot holds the compiled permissions of all roles of a realm. It is immutable; any goroutine.
type Snapshot struct {
	roles map[string]*Role
}

// Role returns the permissions of the role of that name, or nil if there is no such role. A nil Role denies
// everything.
func (s *Snapshot) Role(name string) *Role { return s.roles[name] }

// Decide is Role(role).Decide.
func (s *Snapshot) Decide(role string, a Action, uri []byte, match codec.Match) Decision {
	return s.roles[role].Decide(a, uri, match)
}

// A Decision says whether a session may do something.
type Decision struct {
	Allow bool
	// Disclose says that the receiver learns who publishes or calls, whatever the options of the message say. Only
	// for Publish and Call that are allowed. The default for the answer if the decision is not definitive.
	Disclose bool
	// Cache says that the decision may be kept: one from permissions as long as the Snapshot is in force, one from an
	// authorizer in a Cache. The default for the answer if the decision is not definitive.
	Cache bool
	// Trust is the trust level that receivers are told, plus one; 0: none (PROTOCOL 7.10, 8.10). Only for Publish and
	// Call that the permissions allow, or that the authorizer allows.
	Trust uint32
	// Definitive is false if the dynamic authorizer has to be asked. Allow is false then.
	Definitive bool
}

// denied is the Decision of permissions that say no.
var denied = Decision{Cache: true, Definitive: true}

func (d Decision) denies() bool { return d.Definitive && !d.Allow }
