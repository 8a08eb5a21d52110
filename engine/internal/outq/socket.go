//go:build linux

package outq

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Vectors are the scratch that one loop needs to write several segments at once. Owned by loop.
type Vectors struct {
	// Owner is that loop, for Senders that append to other queues. Fixed.
	Owner any

	vectors [SegmentsPerSend]unix.Iovec
	message unix.Msghdr

	gathered []byte // scratch of Segment.Gather; nil until it is used
}

// rawBytesMax is the size up to which a write is made without telling the scheduler: it is over before the scheduler
// could hand the processor to another thread. Larger copies take long enough that other goroutines should run
// meanwhile.
const rawBytesMax = 64 << 10

// sendBytesMax is the most that one system call writes: the kernel copies about 2 MiB in a millisecond, and a loop
// looks at the clock between two writes only.
const sendBytesMax = 512 << 10

// SendSocket writes up to SegmentsPerSend segments to a socket as they are: one segment with a plain send, several
// with one sendmsg. It is the Send of a connection without encryption.
//
// hot: BenchmarkFanout and BenchmarkEcho; RawSyscall spares the scheduler two transitions per write.
func SendSocket(fd int, v *Vectors, first *Segment) (int, error) {
	if first.next == nil {
		b := first.unsent()
		return sendOne(fd, b[:min(len(b), sendBytesMax)])
	}
	count, total := 0, 0
	for s := first; s != nil && count < SegmentsPerSend && total < sendBytesMax; s = s.next {
		b := s.unsent()
		b = b[:min(len(b), sendBytesMax-total)]
		v.vectors[count].Base = unsafe.SliceData(b)
		v.vectors[count].SetLen(len(b))
		total += len(b)
		count++
	}
	v.message.Iov = &v.vectors[0]
	v.message.SetIovlen(count)
	var n uintptr
	var errno unix.Errno
	for {
		if total <= rawBytesMax {
			n, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.message)),
				unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		} else {
			n, _, errno = unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.message)),
				unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		}
		if errno != unix.EINTR {
			break
		}
	}
	// The vectors must not keep shared runs alive until the next call.
	clear(v.vectors[:count])
	return sendOutcome(n, errno)
}

func sendOne(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var n uintptr
	var errno unix.Errno
	for {
		if len(b) <= rawBytesMax {
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
				uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		} else {
			n, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
				uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		}
		if errno != unix.EINTR {
			break
		}
	}
	return sendOutcome(n, errno)
}

// WriteSocket writes bytes of b, up to half a MiB, to a socket without blocking, and returns how many it took. It
// returns ErrAgain if the socket takes nothing now.
func WriteSocket(fd int, b []byte) (int, error) { return sendOne(fd, b[:min(len(b), sendBytesMax)]) }

func sendOutcome(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.ENOBUFS:
		return 0, ErrAgain
	default:
		return 0, os.NewSyscallError("send", errno)
	}
}

// ReadSocket reads once from fd without blocking. n is 0 with a nil error at the end of the stream; ErrAgain says
// that nothing is there.
func ReadSocket(fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, os.NewSyscallError("read", errno)
		}
	}
}
