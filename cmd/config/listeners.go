//go:build linux

package config

import "time"

// A Listener is an entry of listeners.
type Listener struct {
	// What reports and the log call this listener. Empty: its address.
	Name string `yaml:"name" default:""`
	// HOST:PORT, [::]:PORT or :PORT for all interfaces, or unix:PATH.
	Address string `yaml:"address" required:"true" form:"address"`
	// What is spoken here. The first byte tells them apart, so one port serves both.
	Protocols []string `yaml:"protocols" default:"websocket, rawsocket" enum:"websocket,rawsocket" least:"1"`
	// Mode and owner of the file of a Unix socket.
	File *SocketFile `yaml:"file"`
	// Web pages that may connect besides those of the router's own host: a host name, HOST:PORT,
	// SCHEME://HOST[:PORT], or * for all. A request without Origin does not come from a page and is always allowed.
	Origins []string `yaml:"origins" default:"" form:"origin" reload:"live"`
	// The path under which HTTP long-poll is served, for networks that let nothing else through: /lp is usual, and
	// clients get http://HOST:PORT/lp as URL. Empty: it is not served. A session counts as a connection.
	LongPoll string `yaml:"long_poll" default:"" form:"pollpath"`
	// Compresses events for WebSocket clients that offer permessage-deflate, and lets them compress what they send.
	// unencrypted is only without TLS; always is with TLS too, where the length of a compressed event tells about its
	// text: whoever can put text of his own beside a secret, and watches the network, may find the secret out.
	Deflate string `yaml:"deflate" default:"off" enum:"off,unencrypted,always" reload:"live"`
	// From where clients without authentication may come through this listener: realm leaves it to the realm, local
	// is this machine, anywhere is everybody, none is nobody. Behind a proxy on this machine use none.
	Anonymous string `yaml:"anonymous" default:"realm" enum:"realm,local,anywhere,none" reload:"live"`
	// The methods of authentication that may be used here. Empty: all that a realm offers.
	AuthMethods []string `yaml:"auth_methods" default:"" enum:"@methods" reload:"live"`
	// Encrypts this listener.
	TLS *TLS `yaml:"tls"`
	// required means that every connection begins with a PROXY header of version 1 or 2, and comes from one of
	// trusted_proxies.
	ProxyProtocol string `yaml:"proxy_protocol" default:"off" enum:"off,required"`
	// Addresses or prefixes of the proxies in front. Only their PROXY headers and X-Forwarded-For are believed. They
	// count for all listeners, so listeners that have some must have the same. If there are any, whoever connects to
	// a Unix socket is believed as well.
	TrustedProxies []string `yaml:"trusted_proxies" default:"" form:"prefix" reload:"live"`
}

// A SocketFile is a section file of a listener.
type SocketFile struct {
	// Permission bits of the socket's file, in octal. Who may write to it may connect.
	Mode string `yaml:"mode" default:"0660" form:"mode"`
	// The user that owns it, by name or number. Empty: the user of the process.
	Owner string `yaml:"owner" default:"" form:"user"`
	// Its group, by name or number. Empty: the group of the process.
	Group string `yaml:"group" default:"" form:"group"`
}

// TLS is a section tls of a listener.
type TLS struct {
	// The certificates; which one is shown depends on the name that the client asks for. The first is for clients
	// that ask for none. The files are read again when they change.
	Certificates []Certificate `yaml:"certificates" max:"1000" reload:"live"`
	// Certificates that are fetched by themselves, instead of certificates, and kept in the folder acme of
	// process.data_dir. Only in builds with -tags acme. Until there is a certificate, clients are refused
	// (unrecognized_name). What cannot be fetched is tried again, after a minute first and after six hours at last.
	ACME *ACME `yaml:"acme" reload:"live"`
	// allow serves clients without encryption on the same port.
	Plain string `yaml:"plain" default:"refuse" enum:"refuse,allow"`
	// The oldest version of TLS that is spoken.
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3" reload:"live"`
	// A file with the authorities whose client certificates are accepted. Empty: clients are asked for none. It is
	// read again when it changes. Sessions that need a certificate leave when its authority is gone.
	ClientCA string `yaml:"client_ca" default:"" form:"file" reload:"live"`
	// With client_ca: whether a client may do without a certificate.
	ClientCertificates string `yaml:"client_certificates" default:"optional" enum:"optional,required" reload:"live"`
	// Names of protocols for ALPN, best first. A client that asks for others only is refused.
	// Empty: whatever a client asks for is fine.
	ALPN []string `yaml:"alpn" default:"http/1.1" reload:"live"`
	// Lets clients that come back resume, which costs a tenth. The keys change every day.
	SessionTickets bool `yaml:"session_tickets" default:"true"`
	// How long browsers are to insist on TLS for this host (Strict-Transport-Security of the page).
	HSTS time.Duration `yaml:"hsts" default:"0" min:"1s" max:"17520h" zero:"not sent"`
}

// A Certificate is an entry of certificates.
type Certificate struct {
	// A PEM file: the certificate, followed by those that lead to the root.
	Certificate string `yaml:"certificate" required:"true" form:"file"`
	// A PEM file: its private key. Only the user of the router should be able to read it.
	Key string `yaml:"key" required:"true" form:"file"`
	// A file with the OCSP answer (DER) that is sent along. Empty: none.
	OCSP string `yaml:"ocsp" default:"" form:"file"`
}

// ACME is a section acme.
type ACME struct {
	// The host names, each of which gets a certificate of its own. The first is for clients that ask for no name, or
	// for another one. Nothing is fetched for names that are not here.
	Domains []string `yaml:"domains" required:"true" form:"host" least:"1" max:"100"`
	// true says that you agree to the terms of service of the authority. Without it nothing is fetched.
	AgreeToTerms bool `yaml:"agree_to_terms" default:"false"`
	// To whom the authority writes if something is wrong.
	Email string `yaml:"email" default:"" form:"email"`
	// For an authority that issues only to those who have an account with it already, as that of Google or ZeroSSL.
	EAB *EAB `yaml:"eab"`
	// The directory of the authority. Its default is Let's Encrypt.
	Directory string `yaml:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" form:"url"`
	// A PEM file with the roots that the directory's own certificate is verified against, for an authority of your
	// own. Empty: those of the system.
	DirectoryCA string `yaml:"directory_ca" default:"" form:"file"`
	// How the authority may see that the domains are yours: tls-alpn-01 is answered by this listener, which has to be
	// reachable at port 443 of the domains; http-01 has to reach port_http from port 80. What fails is followed by
	// the other one.
	Challenges []string `yaml:"challenges" default:"tls-alpn-01, http-01" enum:"tls-alpn-01,http-01" least:"1"`
	// The port of this listener's address that answers http-01. It is open only while a certificate is fetched,
	// unless another listener without encryption has it: then that one answers.
	PortHTTP int `yaml:"port_http" default:"80" min:"1" max:"65535"`
	// How often certificates are looked at. They are renewed when the authority says so, or a third of their time is
	// left.
	RenewInterval time.Duration `yaml:"renew_interval" default:"10m" min:"1s" max:"24h"`
}

// EAB is a section eab of acme: external account binding (RFC 8555, 7.3.4).
type EAB struct {
	// The identifier of the key that the authority has given you.
	KeyID string `yaml:"key_id" required:"true"`
	// A file with that key, which is for HMAC, in base64url. It is needed once for each authority and email; the
	// account that was made with it is kept in process.data_dir.
	HMACKeyFile string `yaml:"hmac_key_file" required:"true" form:"secretfile"`
}
