package realm

import "banyan/codec"

// Payload passthru mode (PROTOCOL 12.1): the payload of a message with a ppt_scheme is for its receivers only. The
// keys ppt_* go with it (codec.Details.Forward), and nobody looks into either. These are the checks of who has
// announced the mode; Config.LaxPassthru turns them off.
//
//	sender of PUBLISH, CALL, YIELD, ERROR  must have announced it for that role: mayPass; otherwise a violation
//	callee of a CALL                       must have announced it: otherwise the caller gets feature_not_supported
//	caller of a YIELD                      the same; the call ends, and the callee is told nothing
//	subscriber; caller of an ERROR         gets it anyway: an event or an error is worth having without its payload
//
// A message without a ppt_scheme pays for this with the test of one bit of its options, and one more where the router
// chooses a receiver.

var (
	refuseCalleePassthru = &refusal{codec.ErrFeatureNotSupported, "the callee does not support " +
		"payload_passthru_mode"}
	refuseCallerPassthru = &refusal{codec.ErrFeatureNotSupported, "the result is in payload passthru mode, which " +
		"you did not announce"}
	refuseMetaPassthru = &refusal{codec.ErrFeatureNotSupported, "the router's own procedures do not read payloads " +
		"in payload passthru mode"}
	refuseTestamentPassthru = &refusal{codec.ErrFeatureNotSupported, "the testament is in payload passthru mode, " +
		"which you did not announce as a publisher"}
)

// passes reports whether m is in payload passthru mode: its ppt_scheme is not empty.
func passes(m *codec.Message) bool {
	return m.Options.Has(codec.KeyPptScheme) && m.Options.Text(codec.KeyPptScheme) != ""
}

// mayPass reports whether s may send m, which has the key ppt_scheme.
func (s *session) mayPass(set *settings, m *codec.Message) bool {
	var needed codec.Roles
	switch m.Type {
	case codec.Publish:
		needed = codec.PublisherPassthru
	case codec.Call:
		if s.goesOn(set, m) {
			return true // the options of the first one hold
		}
		needed = codec.CallerPassthru
	case codec.Yield, codec.Error:
		needed = codec.CalleePassthru
	default:
		return true
	}
	return s.roles&needed != 0 || set.LaxPassthru || !passes(m)
}

// lacksPassthru reports whether s, to whom m goes, would have to have announced the bit needed and did not.
func (s *session) lacksPassthru(set *settings, needed codec.Roles, m *codec.Message) bool {
	return s.roles&needed == 0 && !set.LaxPassthru && passes(m)
}
