//go:build linux

package engine

import (
	"math/bits"
	"sync"
)

// Input buffers come from pools by size class, powers of two from 1 KiB to 1 MiB; larger
// ones are left to the collector.
const (
	bufferShiftMin = 10
	bufferShiftMax = 20
)

var bufferPools [bufferShiftMax - bufferShiftMin + 1]sync.Pool // of *[]byte with exactly the capacity of the class

func bufferClass(size int) int {
	return max(bits.Len(uint(max(size, 1)-1)), bufferShiftMin) - bufferShiftMin
}

// takeBuffer returns an empty buffer with room for size bytes.
func takeBuffer(size int) []byte {
	class := bufferClass(size)
	if class >= len(bufferPools) {
		return make([]byte, 0, size)
	}
	if b, ok := bufferPools[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, 1<<(class+bufferShiftMin))
}

// giveBuffer returns b, which nobody may use any more.
func giveBuffer(b []byte) {
	size := cap(b)
	class := bufferClass(size)
	if size == 0 || class >= len(bufferPools) || size != 1<<(class+bufferShiftMin) {
		return
	}
	empty := b[:0] // b itself would be moved to the heap in the other case, too
	bufferPools[class].Put(&empty)
}

// grow returns b with room for n more bytes and gives the old buffer back. The capacity follows the bytes that are
// there, never an announcement: it is at most twice of them (1 KiB at least), and at most bytesMax unless the bytes
// themselves are more.
func grow(b []byte, n, bytesMax int) []byte {
	need := len(b) + n
	if cap(b) >= need {
		return b
	}
	size := max(need, min(2*len(b), bytesMax))
	var bigger []byte
	if class := bufferClass(size); class < len(bufferPools) && 1<<(class+bufferShiftMin) > bytesMax {
		bigger = make([]byte, 0, max(need, bytesMax)) // a class would be larger
	} else {
		bigger = takeBuffer(size)
	}
	bigger = append(bigger, b...)
	giveBuffer(b)
	return bigger
}
