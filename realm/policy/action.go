package policy

// An Action is something that a session may do with a URI (PROTOCOL 11).
type Action uint8

// The actions.
const (
	Publish Action = iota
	Subscribe
	Register
	Call

	actionsMany = 4
)

var actionNames = [actionsMany]string{"publish", "subscribe", "register", "call"}

// String returns a as authorizers and configuration files spell it.
func (a Action) String() string {
	if a < actionsMany {
		return actionNames[a]
	}
	return "unknown action"
}
