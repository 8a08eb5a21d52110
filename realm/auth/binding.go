package auth

// Kinds of channel bindings.
const (
	bindUnique   = "tls-unique"           // RFC 5929: the first Finished message; TLS 1.2 and older
	bindEndPoint = "tls-server-end-point" // RFC 5929: the hash of the server's certificate
	bindExporter = "tls-exporter"         // RFC 9266
)

// Bindings returns the function for Transport.Binding of a connection that has these data; nil is what it does not
// have.
func Bindings(unique, exporter, endPoint []byte) func(kind string) []byte {
	return func(kind string) []byte {
		switch kind {
		case bindUnique:
			return unique
		case bindExporter:
			return exporter
		case bindEndPoint:
			return endPoint
		}
		return nil
	}
}
