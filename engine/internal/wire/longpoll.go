package wire

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// HTTP long-poll (PROTOCOL 13.4): what its requests ask for.

// A PollVerb is what a request asks for. The zero value is nothing that there is.
type PollVerb uint8

// The verbs.
const (
	PollNothing PollVerb = iota
	PollOpen
	PollReceive
	PollSend
	PollClose
)

// A PollID names a long-poll transport. Who knows it may use the transport, so nobody may guess it.
type PollID [16]byte

// ReadPollPath reads the path of a request. below reports that it lies below base; then verb says what it asks for,
// and id of which transport, unless it is PollOpen.
func ReadPollPath(path, base string) (verb PollVerb, id PollID, below bool) {
	rest, below := strings.CutPrefix(path, base)
	if !below || base == "" || rest != "" && rest[0] != '/' {
		return PollNothing, id, false
	}
	if rest == "/open" {
		return PollOpen, id, true
	}
	const idText = 2 * len(id)
	if len(rest) < 1+idText {
		return PollNothing, id, true
	}
	name, verbText := rest[1:1+idText], rest[1+idText:]
	if _, err := hex.Decode(id[:], []byte(name)); err != nil {
		return PollNothing, PollID{}, true
	}
	switch verbText {
	case "/receive":
		verb = PollReceive
	case "/send":
		verb = PollSend
	case "/close":
		verb = PollClose
	}
	return verb, id, true
}

// ReadPollOpen reads the body of a request that opens a transport: the protocols that the client offers, best first.
// ok is false if it is no such body.
func ReadPollOpen(body []byte) (protocols []string, ok bool) {
	var offer struct {
		Protocols []string `json:"protocols"`
	}
	if json.Unmarshal(body, &offer) != nil {
		return nil, false
	}
	return offer.Protocols, len(offer.Protocols) > 0
}

// AppendPollOpened appends the body of the answer to such a request. protocol needs no escapes.
func AppendPollOpened(dst []byte, protocol string, id PollID) []byte {
	dst = append(append(dst, `{"protocol":"`...), protocol...)
	dst = append(dst, `","transport":"`...)
	return append(hex.AppendEncode(dst, id[:]), `"}`...)
}

// BodyBytes returns the length of the body that follows the head, in octets: math.MaxInt if it is more than that.
// known is false if only its coding tells where it ends.
func (h *Head) BodyBytes() (n int, known bool) {
	if h.length == "" {
		return 0, !h.coded
	}
	n, err := strconv.Atoi(h.length)
	if err != nil {
		return math.MaxInt, true
	}
	return n, true
}

// Persists reports whether the client expects the connection to stay open behind the answer. One of HTTP/1.0 would
// have to ask for it; it is told that the connection ends.
func (h *Head) Persists() bool { return h.Minor > 0 && !h.Close }
