//go:build linux

package engine

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socketSender writes segments to sockets. Owned by one loop; the vectors are its scratch.
type socketSender struct {
	vectors [segmentsPerSend]unix.Iovec
	message unix.Msghdr
}

// rawBytesMax is the size up to which a write is made without telling the scheduler: it is over before the scheduler could hand the
// processor to somebody else. Larger copies take long enough that other goroutines should run meanwhile.
const rawBytesMax = 64 << 10

// send implements sender: one segment is a plain send, several are one sendmsg.
func (s *socketSender) send(fd int, first *segment) (int, error) {
	if first.next == nil {
		b := first.left()
		return sendPlain(fd, b)
	}
	count, total := 0, 0
	for seg := first; seg != nil && count < segmentsPerSend; seg = seg.next {
		b := seg.left()
		s.vectors[count].Base = unsafe.SliceData(b)
		s.vectors[count].SetLen(len(b))
		total += len(b)
		count++
	}
	s.message.Iov = &s.vectors[0]
	s.message.SetIovlen(count)
	var n uintptr
	var errno unix.Errno
	for {
		if total <= rawBytesMax {
			n, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.message)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		} else {
			n, _, errno = unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.message)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		}
		if errno != unix.EINTR {
			break
		}
	}
	// The vectors must not keep shared runs alive until the next call.
	clear(s.vectors[:count])
	return sendOutcome(n, errno)
}

func sendPlain(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var n uintptr
	var errno unix.Errno
	for {
		if len(b) <= rawBytesMax {
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
				unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		} else {
			n, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
				unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		}
		if errno != unix.EINTR {
			break
		}
	}
	return sendOutcome(n, errno)
}

func sendOutcome(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.ENOBUFS:
		return 0, errAgain
	default:
		return 0, os.NewSyscallError("send", errno)
	}
}

// readInto reads once from fd without blocking. n is 0 with a nil error at the end of the stream.
func readInto(fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, os.NewSyscallError("read", errno)
		}
	}
}
