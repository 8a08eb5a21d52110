package codec

// MaxID is 2^53, the largest id (PROTOCOL 2).
const MaxID = 1 << 53

// ID maps 64 random bits to the global id range [1, 2^53], evenly (PROTOCOL 2).
func ID(random uint64) uint64 { return random>>11 + 1 }
