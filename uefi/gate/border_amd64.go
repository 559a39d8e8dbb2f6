//go:build tamago

package gate

import "tamaccid/baremetal/cpu/amd64"

var (
	fwsp    uintptr // firmware's stack, at the frame of enter
	fwflags uintptr
	fwcr3   uintptr
	fwidt   amd64.TableRegister

	gosp  uintptr // the dispatcher's stack and frame while Go is left
	gobp  uintptr
	gofs  uintptr
	gofp  = [2]uint32{0x1f80, 0x037f} // MXCSR and x87 control word (System V ABI for AMD64, 3.2.3)
	goidt amd64.TableRegister         // base 0: keep firmware's
	gocr3 uintptr                     // 0: keep firmware's

	clonedcr3 uintptr // firmware's CR3 at the time of the copy that gocr3 points to
)

//go:noescape
func briefly(fn uintptr, args *uintptr, n uintptr) uintptr

// loadGo loads Go's interrupt descriptor table and page tables.
func loadGo()

// counter reads the processor's counter, which has a constant rate.
func counter() uint64 { return amd64.TSC() }

func brief(fn uintptr, args []uintptr) uintptr {
	if enablesInterrupts != 0 || gocr3 == 0 || fwcr3 != clonedcr3 {
		return raw(fn, &args[0], uintptr(len(args)))
	}
	return briefly(fn, &args[0], uintptr(len(args)))
}
