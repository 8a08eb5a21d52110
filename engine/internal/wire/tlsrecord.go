package wire

// TLSHandshake is the first octet of a connection that speaks TLS: the type of a record with handshake messages.
const TLSHandshake = 0x16

const (
	tlsHeaderBytes  = 5
	tlsMajor        = 3             // of every version from SSL 3.0 to TLS 1.3
	tlsPayloadBytes = 16<<10 + 2048 // of TLS 1.2, which allows most (RFC 5246 6.2.3)
	// TLSRecordBytesMax is the length of the longest record, in octets, with its header.
	TLSRecordBytesMax = tlsHeaderBytes + tlsPayloadBytes
)

// TLSRecord returns the length of the record at the start of b, with its header (RFC 8446 5.1); more than
// TLSRecordBytesMax while the header is not all there. bad says that no record begins like that; its content is not
// judged here.
func TLSRecord(b []byte) (length int, bad bool) {
	if len(b) < tlsHeaderBytes {
		return TLSRecordBytesMax + 1, false
	}
	length = tlsHeaderBytes + int(b[3])<<8 + int(b[4])
	return length, b[1] != tlsMajor || length > TLSRecordBytesMax
}
