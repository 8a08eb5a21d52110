//go:build linux

package config

// A User is an entry of users. It holds what verifies a login.
type User struct {
	// The role that the user gets.
	Role string `yaml:"role" required:"true"`
	// For the method ticket.
	Ticket *UserTicket `yaml:"ticket"`
	// For the method wampcra.
	WAMPCRA *UserCRA `yaml:"wampcra"`
	// For the method wamp-scram.
	SCRAM *UserSCRAM `yaml:"scram"`
	// For the method scram, the dialect of Crossbar.io. With argon2id13 a password has other keys there.
	Crossbar *UserSCRAM `yaml:"crossbar"`
	// Public Ed25519 keys, in hex, for the method cryptosign.
	Cryptosign []string `yaml:"cryptosign" default:"" form:"ed25519" max:"100"`
	// SHA-256 fingerprints of certificates, in hex, for the method tls.
	TLS []string `yaml:"tls" default:"" form:"fingerprint" max:"100"`
	// What WELCOME tells the client in authextra.
	Extra map[string]any `yaml:"extra"`
}

// A UserTicket is a section ticket of a user: exactly one of its options.
type UserTicket struct {
	// The SHA-256 of a random ticket, in hex, as banyan hash-ticket writes it.
	SHA256 string `yaml:"sha256" default:"" form:"hex32" secret:"mask"`
	// The Argon2id hash of a ticket that somebody has thought of.
	Argon2id string `yaml:"argon2id" default:"" form:"argon2id" secret:"mask"`
	// A file with the ticket itself.
	File string `yaml:"file" default:"" form:"secretfile"`
}

// A UserCRA is a section wampcra of a user: secret_file, or salt and key.
type UserCRA struct {
	// A file with the secret.
	SecretFile string `yaml:"secret_file" default:"" form:"secretfile"`
	// The salt of a salted key.
	Salt string `yaml:"salt" default:""`
	// Rounds of PBKDF2.
	Iterations int `yaml:"iterations" default:"600000" min:"1" max:"100000000"`
	// Length of the key, in bytes.
	Keylen int `yaml:"keylen" default:"32" min:"16" max:"64"`
	// The salted key, in base64. Whoever reads it can log in: the file is to be readable by the router alone.
	Key string `yaml:"key" default:"" form:"base64" secret:"key"`
}

// A UserSCRAM is a section scram or crossbar of a user.
type UserSCRAM struct {
	// How the password was turned into keys.
	KDF string `yaml:"kdf" default:"argon2id13" enum:"argon2id13,pbkdf2"`
	// The salt, in base64.
	Salt string `yaml:"salt" required:"true" form:"base64"`
	// Rounds of the function.
	Iterations int `yaml:"iterations" required:"true" min:"1" max:"100000000"`
	// Memory of argon2id13, in KiB. Clients need it to log in, the router does not. For pbkdf2 it is left out.
	Memory int `yaml:"memory" default:"0" min:"8" max:"4194304" zero:"for pbkdf2"`
	// What verifies the client's proof, in base64.
	StoredKey string `yaml:"stored_key" required:"true" form:"key32" secret:"mask"`
	// What the router proves itself with, in base64.
	ServerKey string `yaml:"server_key" required:"true" form:"key32" secret:"mask"`
}
