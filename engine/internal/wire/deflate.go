package wire

import (
	"strconv"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

const acceptedDeflate = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; " +
	"client_no_context_takeover"

// AcceptDeflate returns the header line that accepts the first offer of permessage-deflate which the router can take
// (RFC 7692 7.1), or "" if there is none: then nothing of the offers is mentioned, and the connection goes without.
//
// Neither side keeps anything from one message to the next, which every client has to be able to. An offer with a
// window of the router's below windowBits is not taken: all receivers share frames that need this window. The router
// itself reads with any window, so it asks for none.
func (h *Head) AcceptDeflate(windowBits int) (header string) {
	if h.Extensions == "" {
		return ""
	}
	offers, ok := httphead.ParseOptions([]byte(h.Extensions), nil)
	if !ok {
		return ""
	}
	for _, offer := range offers {
		var p wsflate.Parameters
		if string(offer.Name) != wsflate.ExtensionName || p.Parse(offer) != nil {
			continue
		}
		header = acceptedDeflate
		if !p.ServerMaxWindowBits.Defined() {
			return header
		}
		if int(p.ServerMaxWindowBits) >= windowBits {
			return header + "; server_max_window_bits=" + strconv.Itoa(windowBits)
		}
	}
	return ""
}
