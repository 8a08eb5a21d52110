package auth_test

import (
	"fmt"
	"time"

	"banyan/realm/auth"
)

// A caller drives an attempt by the kind of its outcomes. This one answers for the client, too.
func ExampleRealm_Begin() {
	token := auth.NewTicket()
	stored, err := auth.ParseTicket(auth.HashTicket(token))
	if err != nil {
		fmt.Println(err)
		return
	}
	realm, err := auth.NewRealm(&auth.Config{
		Realm: "realm1", Ticket: &auth.TicketOptions{},
		Users: []auth.User{{AuthID: "kiosk", Role: "public", Tickets: []auth.StoredTicket{stored}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	attempt, o := realm.Begin(&auth.Hello{
		AuthID: "kiosk", Methods: []string{"ticket"}, Session: 1, Now: time.Now(),
		Transport: auth.Transport{Encrypted: true},
	})
	for {
		switch o.Kind {
		case auth.Challenge: // send CHALLENGE, wait for AUTHENTICATE
			fmt.Println("CHALLENGE", o.Method, o.Extra)
			o = attempt.Answer(time.Now(), token, nil)
		case auth.Ask: // call the procedure or the HTTP hook of o.Request
			o = attempt.Resume(nil, fmt.Errorf("no authenticator here"))
		case auth.Work: // in the pool
			o = o.Work()
		case auth.Welcome:
			fmt.Println("WELCOME", o.Principal.AuthID, o.Principal.Role, o.Principal.Method)
			return
		case auth.Refuse:
			fmt.Println("ABORT", o.Refusal.URI)
			return
		}
	}
	// Output:
	// CHALLENGE ticket map[]
	// WELCOME kiosk public ticket
}
