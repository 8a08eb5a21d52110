// Package codec reads and writes the messages of WAMP v2 in JSON, MessagePack and CBOR, and the frames of the
// transports around them. It knows neither sockets nor realms.
//
// Decoder.Decode reads a message: type, ids, options and URI. It checks that the payload is well-formed and leaves it
// a slice of the input. The Append functions write a message: they copy the payload if the receiver speaks the same
// serializer, and transcode it otherwise.
//
// internal/table says once what each message holds. go generate makes four kinds of files from it: the decoders
// (decode_*_gen.go), the beginnings of the encoders (append_heads_gen.go), the known keys (options_keys_gen.go) and
// the table for the slow paths (message_table_gen.go).
//
// A Decoder belongs to one goroutine. All functions may be called on any goroutine: they share no state but pools.
// limits.go holds all limits.
package codec
