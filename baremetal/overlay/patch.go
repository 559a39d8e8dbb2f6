//go:build !tamago

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A patch replaces text in one file of the Go tree.
type patch struct {
	file string
	subs []sub
}

// A sub replaces every occurrence of old, of which there must be exactly n.
type sub struct {
	old, new string
	n        int
}

func (p patch) apply(s string) (string, error) {
	for _, u := range p.subs {
		if n := strings.Count(s, u.old); n != u.n {
			return "", fmt.Errorf("%q found %d times, expected %d", u.old, n, u.n)
		}
		s = strings.ReplaceAll(s, u.old, u.new)
	}
	return s, nil
}

// syscalls replaces the ways out into the kernel.
func syscalls(n int) sub {
	return sub{"\tSYSCALL\n", "\tCALL\truntime·baresys(SB)\n", n}
}

var patches = []patch{
	{"runtime/sys_linux_amd64.s", []sub{
		syscalls(40),
		// rt_sigreturn finds its record at the stack pointer: no frame, which
		// the assembler would make for a function that calls.
		{"TEXT runtime·sigreturn__sigaction(SB),NOSPLIT,$0", "TEXT runtime·sigreturn__sigaction(SB),NOSPLIT|NOFRAME,$0", 1},
	}},
	{"runtime/time_linux_amd64.s", []sub{syscalls(2)}},
	{"internal/runtime/syscall/linux/asm_linux_amd64.s", []sub{syscalls(1)}},
	// vfork, and gettimeofday where the kernel has no vDSO.
	{"syscall/asm_linux_amd64.s", []sub{syscalls(3)}},

	// Without virtual memory every reserved page is a real one: 64 GiB of
	// addresses in arenas of 2 MiB, of which two levels of tables note where they
	// are, need tables of kilobytes, not megabytes. Boards give memory below that
	// address. A heap that begins at random within its first arena would waste
	// what lies before it.
	{"runtime/malloc.go", []sub{
		{"\theapAddrBits = (_64bit*", "\theapAddrBits = 36 + 0*(_64bit*", 1},
		{"\tlogHeapArenaBytes = (6+20)*", "\tlogHeapArenaBytes = 21 + 0*(6+20)*", 1},
		{"\tarenaBaseOffset = 0xffff800000000000*", "\tarenaBaseOffset = 0*0xffff800000000000*", 1},
		{"\tarenaL1Bits = 6 *", "\tarenaL1Bits = 7 + 0*", 1},
		{"\trandomizeHeapBase = goexperiment.RandomizedHeapBase64 &&", "\trandomizeHeapBase = false && goexperiment.RandomizedHeapBase64 &&", 1},
	}},
	// The heap grows by as much at least: by one arena (9 is 4 MiB).
	{"runtime/mpagealloc.go", []sub{
		{"\tlogPallocChunkPages = 9*", "\tlogPallocChunkPages = 8 + 0*9*", 1},
	}},

	// The same without waste: memory that is aligned already is asked for, and no
	// table of 1.4 MB is made for a memory profile, which is not used.
	{"runtime/mem.go", []sub{
		{"\tretries := 0\nretry:\n", "\tif v == nil {\n\t\tp, err := mmap(nil, size, _PROT_NONE, _MAP_ANON|_MAP_PRIVATE, -1, uint32(align))\n" +
			"\t\tif err != 0 {\n\t\t\treturn nil, 0\n\t\t}\n\t\treturn p, size\n\t}\n\tretries := 0\nretry:\n", 1},
	}},
	{"runtime/mprof.go", []sub{
		{"var MemProfileRate int = 512 * 1024\n", "var MemProfileRate int\n", 1},
	}},

	// The memory limit of the collector (min keeps the import of package math).
	{"runtime/mgcpacer.go", []sub{
		{"\tif p == \"\" || p == \"off\" {\n\t\treturn math.MaxInt64\n", "\tif p == \"\" || p == \"off\" {\n\t\treturn min(math.MaxInt64, barelimit())\n", 1},
	}},

	// FIPS mode's own entropy source walks 32 MiB of memory, which would be
	// part of every image that links crypto/rand. Here entropy is the board's
	// affair: that source fails, as it must when it cannot vouch for itself.
	{"crypto/internal/entropy/v1.0.0/entropy.go", []sub{
		{"type ScratchBuffer [1 << 25]byte\n", "type ScratchBuffer [1 << 6]byte\n", 1},
		{"\tif err := Samples(samples[:], memory); err != nil {\n\t\treturn [48]byte{}, err\n\t}\n",
			"\tif true {\n\t\treturn [48]byte{}, errors.New(\"entropy: no FIPS 140-3 source on this machine\")\n\t}\n", 1},
	}},

	// Memory that the runtime lets go of for a while stays as it was: nobody
	// clears it on the way, as Linux does for madvise, so it is not taken for
	// clear when it is used again.
	{"runtime/mem_linux.go", []sub{
		{"\treturn debug.madvdontneed == 0\n", "\treturn true\n", 1},
	}},

	// A CPU exception puts up to 64 bytes below the stack pointer of the
	// goroutine.
	{"runtime/stack.go", []sub{
		{"\tstackSystem = goos.IsWindows*4096", "\tstackSystem = 512 + goos.IsWindows*4096", 1},
	}},

	// A caller of firmware's protocols may pass any number as a pointer. One that is no Go pointer
	// must not end the program when the garbage collector or a growing stack finds it.
	{"runtime/runtime1.go", []sub{
		{"\tdebug.invalidptr = 1\n", "\tdebug.invalidptr = 0\n", 1},
	}},

	// The first thread's stack is part of the image: twice the other threads' is
	// enough.
	{"runtime/asm_amd64.s", []sub{
		{"\tLEAQ\t(-64*1024)(SP), BX\n", "\tLEAQ\t(-32*1024)(SP), BX\n", 1},
	}},

	// One CPU and cooperative fibers: there is no thread to take a P from.
	{"runtime/proc.go", []sub{
		{"const haveSysmon = GOARCH != \"wasm\"", "const haveSysmon = false", 1},
		{"\t// Record when the world started.\n", "\tboardgoos.Hwinit1()\n\n\t// Record when the world started.\n", 1},
		{"import (\n", "import (\n\tboardgoos \"runtime/goos\"\n", 1},
	}},

	// Nobody can read an execution trace here, so none is written: constants let
	// the compiler drop the tracer.
	{"runtime/traceruntime.go", []sub{
		{"\treturn trace.enabled\n", "\treturn false\n", 1},
		{"\treturn trace.enabledWithAllocFree\n", "\treturn false\n", 1},
		{"\treturn trace.shutdown.Load()\n", "\treturn false\n", 1},
		{"\treturn tl.gen != 0\n", "\treturn false\n", 1},
	}},

	// No /dev/urandom: the seed comes from the board.
	{"runtime/os_linux.go", []sub{
		{"\tfd := open(&urandom_dev[0], 0 /* O_RDONLY */, 0)\n\tn := read(fd, unsafe.Pointer(&r[0]), int32(len(r)))\n\tclosefd(fd)\n",
			"\tboardgoos.InitRNG()\n\tn, _, _ := linux.Syscall6(bareSysGetrandom, uintptr(unsafe.Pointer(&r[0])), uintptr(len(r)), 0, 0, 0, 0)\n", 1},
		{"var urandom_dev = []byte(\"/dev/urandom\\x00\")\n", "", 1},
		{"import (\n", "import (\n\tboardgoos \"runtime/goos\"\n", 1},
	}},
}

// removed files give way to ones of ours.
var removed = []string{
	"runtime/rt0_linux_amd64.s",
	"runtime/netpoll_epoll.go",
	// Control groups, time zone files and GODEBUG: nothing of it exists here, and
	// together they would be a tenth of a driver's image.
	"runtime/cgroup_linux.go",
	"time/zoneinfo_unix.go",
	"internal/godebug/godebug.go",
}

// added maps folders of _src to packages of the Go tree.
var added = map[string]string{
	"runtime": "runtime",
	"goos":    "runtime/goos",
	"signal":  "os/signal",
	"time":    "time",
	"godebug": "internal/godebug",
}

// complete finds a way into the kernel that no patch knows: an assembly file
// for linux/amd64 with a SYSCALL instruction.
func complete(src, release string) error {
	known := map[string]bool{}
	for _, p := range patches {
		known[p.file] = true
	}
	return filepath.WalkDir(src, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(src, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() && (rel == "cmd" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(rel, "_linux_amd64.s") || known[rel] {
			return nil
		}
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), "\tSYSCALL") {
			err = fmt.Errorf("%s: %s: unknown SYSCALL: unsupported Go release", release, rel)
		}
		return err
	})
}
