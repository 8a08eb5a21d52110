// Package codec holds the words of WAMP v2: messages, ids, URIs, errors, and how they look in JSON, MessagePack and CBOR and in the
// frames of a transport. It knows neither sockets nor realms.
//
// A message comes in through Decoder.Decode, which looks at the header only: type, ids, options and URI. The payload is checked to be
// well-formed and stays a slice of the input. It goes out through the Append functions, which copy the payload when the receiver speaks
// the same serializer and transcode it, streaming, when not.
//
// What each message holds stands once, in internal/table. go generate makes of it the decoders (decode_*_gen.go), the beginnings of
// the encoders (heads_gen.go), the known keys (keys_gen.go) and the table the slow paths use (shapes_gen.go).
package codec
