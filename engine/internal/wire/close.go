package wire

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// Control frames that carry something (RFC 6455 5.5, PROTOCOL 13.1).

// Close codes that the parsers answer with.
const (
	CloseNormal      = 1000
	CloseProtocol    = 1002
	CloseInvalidText = 1007
	CloseTooBig      = 1009
)

// reasonBytesMax is the longest reason of a close frame, in octets.
const reasonBytesMax = ControlBytesMax - 2

// JudgeClose returns the code to answer a close frame with: the client's own, 1000 if it gave none, or the code and
// the text of what is wrong with the frame.
func JudgeClose(payload []byte) (code uint16, reason string) {
	switch {
	case len(payload) == 0:
		return CloseNormal, ""
	case len(payload) == 1:
		return CloseProtocol, "close frame of one octet"
	}
	code = binary.BigEndian.Uint16(payload)
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return CloseProtocol, "invalid close code"
	}
	if !utf8.Valid(payload[2:]) {
		return CloseInvalidText, InvalidText.String()
	}
	return code, ""
}

// AppendClose appends a close frame. The reason may hold anything: octets that are no UTF-8 become U+FFFD, and a
// reason that is too long is cut between two characters.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) > reasonBytesMax {
		n := reasonBytesMax
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = append(dst, BitFin|OpClose, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(dst, reason...)
}

// AppendControl appends a ping or pong with at most ControlBytesMax octets of payload.
func AppendControl(dst []byte, opcode byte, payload []byte) []byte {
	return append(append(dst, BitFin|opcode, byte(len(payload))), payload...)
}
