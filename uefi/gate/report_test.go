package gate

import (
	"strings"
	"testing"
)

// What the Go runtime prints, for each kind of fatal error.
var fatalErrors = []struct{ name, printed, want string }{
	{"a fatal error of the program", `fatal error: sync: unlock of unlocked mutex

goroutine 1 [running]:
sync.fatal({0x1c2ba0?, 0x0?})
	runtime/panic.go:1046 +0x18
sync.(*Mutex).unlockSlow(0x0, 0xffffffff)
	sync/mutex.go:65 +0x3c
sync.(*Mutex).Unlock(...)
	sync/mutex.go:65
tamaccid/uefi/driver.induced({0x20b8e0, 0xc0001f0}, 0x7f000004)
	tamaccid/uefi/driver/induced.go:90 +0x1a4
tamaccid/uefi/driver.(*reader).perform(0xd, {0x20b8e0, 0xc0001f0}, 0x7f000004, {0x0, 0x0, 0x0})
	tamaccid/uefi/driver/member.go:284 +0x64

goroutine 18 [select]:
tamaccid/ccid.(*Reader).listen(0x1)
	tamaccid/ccid/notify.go:80 +0x1
`, "driver: fatal error: sync: unlock of unlocked mutex in tamaccid/uefi/driver.induced; over\n"},
	{"a panic that is not recovered", `panic: runtime error: index out of range [5] with length 3

goroutine 21 [running]:
tamaccid/baremetal/usbhost/xhci.(*Controller).pump(0xc000112000)
	tamaccid/baremetal/usbhost/xhci/event.go:20 +0x20
created by tamaccid/baremetal/usbhost/xhci.Open in goroutine 1
	tamaccid/baremetal/usbhost/xhci/controller.go:81 +0x90
`, "driver: panic: runtime error: index out of range [5] with length 3 in " +
		"tamaccid/baremetal/usbhost/xhci.(*Controller).pump; over\n"},
	{"a fault", `unexpected fault address 0x700000000000
fatal error: fault
[signal SIGSEGV: segmentation violation code=0x1 addr=0x700000000000 pc=0x5da1e2]

goroutine 1 gp=0xc000002380 m=0 mp=0x2a5020 [running]:
runtime.throw({0x1b1a5e?, 0x0?})
	runtime/panic.go:1229 +0x48 fp=0xc0000c1d58 sp=0xc0000c1d28 pc=0x484768
runtime.sigpanic()
	runtime/signal_unix.go:945 +0x285 fp=0xc0000c1db8 sp=0xc0000c1d58 pc=0x4862e5
main.wild(...)
	main.go:9
`, "driver: fatal error: fault in main.wild; over\n"},
	{"no memory", `runtime: out of memory: cannot allocate 4194304-byte block (33292288 in use)
fatal error: out of memory

goroutine 1 [running]:
runtime.throw({0x1b1a5e?, 0x0?})
	runtime/panic.go:1229 +0x48
`, "driver: fatal error: out of memory; over\n"},
	{
		"an exception in the dispatcher",
		"fatal error: CPU exception 0xe at 0x1234 of the text, address 0x8\n",
		"driver: fatal error: CPU exception 0xe at 0x1234 of the text, address 0x8; over\n"},
	{"a long reason with control sequences for a terminal",
		"panic: \x1b[2J\u202e" + strings.Repeat("x", 5000) + "\n",
		"driver: panic: ?[2J???" + strings.Repeat("x", 120-14) + "; over\n"},
	{"nothing", "", "driver: the program has ended; over\n"},
}

func TestFatalErrorIsOneLine(t *testing.T) {
	for _, c := range fatalErrors {
		t.Run(c.name, func(t *testing.T) {
			var r fatalReport
			for i := range len(c.printed) {
				r.put(c.printed[i])
			}
			var out strings.Builder
			r.write("driver", "; over", func(b byte) { out.WriteByte(b) })
			if out.String() != c.want {
				t.Errorf("%q\nwant %q", out.String(), c.want)
			}
		})
	}
}

func TestFatalReportAllocatesNothing(t *testing.T) {
	var r fatalReport
	printed := fatalErrors[0].printed
	if n := testing.AllocsPerRun(10, func() {
		for i := range len(printed) {
			r.put(printed[i])
		}
		r.write("driver", "; over", func(byte) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
