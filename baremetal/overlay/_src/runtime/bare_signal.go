package runtime

import (
	"internal/goarch"
	"unsafe"
)

// A CPU exception in Go becomes the signal that Linux would send: the runtime's own handler makes a
// nil dereference a panic and any other exception a fatal error, which ends in exit_group. An
// exception in the dispatcher or in a signal handler has no such way out and ends the program at
// once.

var baresigs [65]sigactiont

func baresigaction(sig, new, old uintptr) uintptr {
	if sig == 0 || sig >= uintptr(len(baresigs)) {
		return bareerr(bareEINVAL)
	}
	if old != 0 {
		*(*sigactiont)(unsafe.Pointer(old)) = baresigs[sig]
	}
	if new != 0 {
		baresigs[sig] = *(*sigactiont)(unsafe.Pointer(new))
	}
	return bareOK
}

// sigframe returns room for a signal's frame of size bytes at the end of the fiber's signal stack,
// cleared and aligned to 16 bytes, and 0 when the signal has no handler or the fiber runs one now.
//
//go:nowritebarrierrec
func (f *barefiber) sigframe(sig, sp, size uintptr) uintptr {
	nested := sp-f.altstack < f.altsize
	if baresigs[sig].sa_handler <= 1 || f.altsize < 2*size || nested {
		return 0
	}
	fr := (f.altstack + f.altsize - size) &^ 15
	memclrNoHeapPointers(unsafe.Pointer(fr), size)
	return fr
}

// barebroken reports an exception in the dispatcher itself and ends the program.
//
//go:nowritebarrierrec
func barebroken(vector, pc, addr uintptr) {
	bareputs("fatal error: CPU exception ")
	bareputx(vector)
	bareputs(" at ")
	bareputx(pc - firstmoduledata.text)
	bareputs(" of the text, address ")
	bareputx(addr)
	bareputs("\n")
	bareexit(2)
}

func bareputs(s string) {
	for i := 0; i < len(s); i++ {
		bareput(true, s[i])
	}
}

func bareputx(v uintptr) {
	bareputs("0x")
	shift := 8*goarch.PtrSize - 4
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		bareput(true, "0123456789abcdef"[v>>shift&15])
	}
}
