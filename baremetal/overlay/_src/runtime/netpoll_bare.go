package runtime

import "internal/runtime/atomic"

// A bare machine has nothing to poll but time. This poller sleeps on a futex, whose deadline has
// the resolution of the clock. The epoll poller, which it replaces, rounds every timer to a
// millisecond.

var netpollWord uint32 // 1: netpoll must return

func netpollinit() {}

func netpollIsPollDescriptor(fd uintptr) bool { return false }

// netpollopen refuses every file: package os then treats its files as blocking.
func netpollopen(fd uintptr, pd *pollDesc) uintptr { return _ENOSYS }

func netpollclose(fd uintptr) uintptr { return 0 }

func netpollarm(pd *pollDesc, mode int) { throw("runtime: unused") }

func netpollBreak() {
	if atomic.Cas(&netpollWord, 0, 1) {
		futexwakeup(&netpollWord, 1)
	}
}

// netpoll waits delay nanoseconds (without end below 0), or until netpollBreak.
func netpoll(delay int64) (gList, int32) {
	if delay != 0 {
		futexsleep(&netpollWord, 0, delay)
		atomic.Store(&netpollWord, 0)
	}
	return gList{}, 0
}
