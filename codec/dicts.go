package codec

import "github.com/tinylib/msgp/msgp"

//go:generate go tool msgp -file dicts.go -o dicts_gen.go -unexported -io=false -tests=false

// The dictionaries of joining, read and written in MessagePack by msgp's own generator and transcoded from and to the other
// serializers: they are cold.

//msgp:ignore HelloDetails WelcomeDetails

// A helloDict is HELLO.Details on the wire. Pointers, because null counts as absent.
type helloDict struct {
	Agent       *string               `msg:"agent"`
	AuthID      *string               `msg:"authid"`
	AuthRole    *string               `msg:"authrole"`
	AuthMethods []string              `msg:"authmethods,allownil"`
	AuthExtra   msgp.Raw              `msg:"authextra"`
	Roles       map[string]*helloRole `msg:"roles,allownil"`
}

// A helloRole is one announced role. Feature values are kept raw: what is not the boolean true is ignored.
type helloRole struct {
	Features map[string]msgp.Raw `msg:"features,allownil"`
}

// A welcomeDict is WELCOME.Details on the wire.
type welcomeDict struct {
	Roles        welcomeRoles `msg:"roles"`
	Realm        string       `msg:"realm,omitempty"`
	AuthID       string       `msg:"authid"`
	AuthRole     string       `msg:"authrole"`
	AuthMethod   string       `msg:"authmethod"`
	AuthProvider string       `msg:"authprovider"`
	Agent        string       `msg:"agent,omitempty"`
	AuthExtra    *msgp.Raw    `msg:"authextra,omitempty"`
}

// welcomeRoles holds broker and dealer and nothing else: clients reject any other key (PROTOCOL 4.3).
type welcomeRoles struct {
	Broker welcomeRole `msg:"broker"`
	Dealer welcomeRole `msg:"dealer"`
}

type welcomeRole struct {
	Features map[string]bool `msg:"features"`
}
