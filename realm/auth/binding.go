package auth

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/xdg-go/scram"
)

// Kinds of channel bindings.
const (
	bindUnique   = "tls-unique"           // RFC 5929: the first Finished message; TLS 1.2 and older
	bindEndPoint = "tls-server-end-point" // RFC 5929: the hash of the server's certificate
	bindExporter = "tls-exporter"         // RFC 9266
)

// Bindings returns the function for Transport.Binding. state is that of the finished handshake; server is the
// certificate that the router showed, nil if it is not known. tls-unique is not available with TLS 1.3.
func Bindings(state *tls.ConnectionState, server *x509.Certificate) func(kind string) []byte {
	return func(kind string) []byte {
		switch kind {
		case bindUnique:
			return state.TLSUnique
		case bindExporter:
			if b, err := scram.NewTLSExporterBinding(state); err == nil {
				return b.Data
			}
		case bindEndPoint:
			if server == nil {
				return nil
			}
			// The library hashes the certificate of the peer, as a client does. Here that is our own.
			own := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{server}}
			if b, err := scram.NewTLSServerEndpointBinding(own); err == nil {
				return b.Data
			}
		}
		return nil
	}
}
