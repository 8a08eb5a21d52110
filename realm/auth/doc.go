// Package auth decides who a client is: HELLO, a challenge, a principal (PROTOCOL 10). It has no loop, no socket, no
// goroutine and no clock: the caller passes in what HELLO said, what the transport knows, the time and the
// randomness.
//
// A Realm is a snapshot of one realm's methods and users. It is built once, is immutable, and any goroutine may use
// it. A reload builds a new one; attempts that have begun end with the old one.
//
// An Attempt is one client that tries to join:
//
//	HELLO ─ Begin ─┬─ Challenge ─ Answer ─┬─ Welcome
//	               ├─ Ask ─────── Resume ─┼─ Challenge
//	               └─ Welcome, Refuse     ├─ Ask, Work
//	                                      └─ Refuse
//
// The caller drives it by the kind of the outcome:
//
//  1. Before Begin it asks its Limiter, Wait. If that returns a wait, it refuses with LimitRefusal and closes. So it
//     does with Take before the first Answer, Ask or Work.
//  2. Challenge: it sends CHALLENGE and calls Answer with what AUTHENTICATE carries.
//  3. Ask: it calls the dynamic authenticator that the request names, a procedure or an HTTP hook, and hands the
//     result or the error to Resume.
//  4. Work: it runs Work in its pool, never on a loop, and goes on with the outcome that Work returns. Every other
//     call is cheap: at most one Ed25519 signature and one verification, or a few HMACs.
//  5. Welcome: it checks that the role exists (PROTOCOL 4.2), applies the realm's AuthIDPolicy, tells the limiter
//     Succeeded, calls BindCookie, and sends WELCOME.
//  6. Refuse: it sends ABORT and closes the transport. The attempt stays counted by the limiter.
//
// One goroutine at a time may call an attempt. The caller owns the timers; an attempt that it drops needs no call.
// While Work runs, the caller may drop the attempt and ignore the outcome.
//
// Unknown authids: the client gets the challenge that a user of this realm would get, with parameters of a real user
// and a salt that is always the same for this authid. Its answer costs the router the same work, and is then denied
// with the same words as a wrong one. Dynamic methods are exempt: there the authenticator decides what it reveals.
package auth
