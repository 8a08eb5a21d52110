package auth

import "time"

// Limits on what a stranger may send. At each of them the attempt is refused.
const (
	authIDBytesMax    = 256  // HELLO.Details.authid; also of users
	methodsMax        = 16   // names of HELLO.Details.authmethods that are looked at; the rest is ignored
	signatureBytesMax = 8192 // AUTHENTICATE.Signature; a JWT with many claims has 4 KiB
	nonceBytesMax     = 256  // authextra.nonce of SCRAM
	cbindBytesMax     = 1024 // AUTHENTICATE.Extra.cbind_data
)

// Limits on what the operator or a dynamic authenticator may set. NewRealm reports them; Resume fails the attempt.
const (
	roleBytesMax        = 256
	realmBytesMax       = 1024
	ticketsPerUserMax   = 4 // each may cost one Argon2id per attempt
	keysPerUserMax      = 64
	ticketBytesMin      = 1
	secretBytesMax      = 1024
	saltBytesMax        = 256
	pbkdf2IterationsMax = 10_000_000
	argon2IterationsMax = 100
	argon2KiBMax        = 1 << 20 // 1 GiB for one attempt
	argon2KiBMin        = 8
	argon2ThreadsMax    = 16
	jwtLeewayMax        = 5 * time.Minute
	mockKeyBytesMin     = 32
	// AuthIDPrefixBytesMax bounds JWTOptions.AuthIDPrefix, in octets. It leaves as much of an authid to the claim.
	AuthIDPrefixBytesMax = authIDBytesMax / 2
	messageBytesMax      = 512 // of a dynamic authenticator's error, passed on to the client
)

// roundsMax is how many challenges a dynamic ticket authenticator may ask for, the first included. The attempt fails
// at the next.
const roundsMax = 4

// shapesMax is how many different sets of credentials the mock of unknown users imitates: the most common ones.
const shapesMax = 16
