package codec

//go:generate go run banyan/codec/internal/gen
