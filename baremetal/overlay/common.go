//go:build !tamago

package main

// commonPatches are patches of files that are compiled for every architecture.
var commonPatches = []patch{
	// Every reserved page is a real one: the board gives memory by the page, and there are no
	// reserved but unbacked addresses. 64 GiB of addresses in arenas of 2 MiB, whose metadata is
	// found through two levels of tables, need tables of kilobytes and not of megabytes. Boards
	// give memory below that address. A heap that begins at a random place in its first arena would
	// waste the memory before that place. A 32-bit architecture keeps Go's own sizes.
	{"runtime/malloc.go", []sub{
		{"\theapAddrBits = (_64bit*", "\theapAddrBits = 36*_64bit + 0*(_64bit*", 1},
		{"\tlogHeapArenaBytes = (6+20)*", "\tlogHeapArenaBytes = 21*_64bit + 0*(6+20)*", 1},
		{"\tarenaBaseOffset = 0xffff800000000000*", "\tarenaBaseOffset = 0*0xffff800000000000*", 1},
		{"\tarenaL1Bits = 6 *", "\tarenaL1Bits = 7*_64bit + 0*", 1},
		{
			"\trandomizeHeapBase = goexperiment.RandomizedHeapBase64 &&",
			"\trandomizeHeapBase = false && goexperiment.RandomizedHeapBase64 &&",
			1,
		},
	}},
	// The heap grows by at least one chunk. With 8 it has the size of an arena (9 is 4 MiB).
	{"runtime/mpagealloc.go", []sub{
		{"\tlogPallocChunkPages = 9*", "\tlogPallocChunkPages = 8 + 0*9*", 1},
	}},

	// A reservation asks for aligned memory, instead of for more memory of which the ends are given
	// back.
	{"runtime/mem.go", []sub{
		{
			"\tretries := 0\nretry:\n",
			"\tif v == nil {\n" +
				"\t\tp, err := mmap(nil, size, _PROT_NONE, _MAP_ANON|_MAP_PRIVATE, -1, uint32(align))\n" +
				"\t\tif err != 0 {\n\t\t\treturn nil, 0\n\t\t}\n\t\treturn p, size\n\t}\n" +
				"\tretries := 0\nretry:\n",
			1,
		},
	}},
	// The table of the memory profile, 1.4 MB, is not made: no program here writes a profile.
	{"runtime/mprof.go", []sub{
		{"var MemProfileRate int = 512 * 1024\n", "var MemProfileRate int\n", 1},
	}},

	// The memory limit of the collector is the board's (min keeps the import of package math).
	{"runtime/mgcpacer.go", []sub{
		{
			"\tif p == \"\" || p == \"off\" {\n\t\treturn math.MaxInt64\n",
			"\tif p == \"\" || p == \"off\" {\n\t\treturn min(math.MaxInt64, barelimit())\n",
			1,
		},
	}},

	// The entropy source of FIPS mode walks 32 MiB of memory, which would be part of every image
	// that links crypto/rand. On a bare machine the board is the source of entropy, and the one of
	// FIPS mode fails.
	{"crypto/internal/entropy/v1.0.0/entropy.go", []sub{
		{"type ScratchBuffer [1 << 25]byte\n", "type ScratchBuffer [1 << 6]byte\n", 1},
		{
			"\tif err := Samples(samples[:], memory); err != nil {\n" +
				"\t\treturn [48]byte{}, err\n\t}\n",
			"\tif true {\n" +
				"\t\treturn [48]byte{}, errors.New(\"entropy: no FIPS 140-3 source on this machine\")\n\t}\n",
			1,
		},
	}},

	// Memory that the runtime releases with madvise and uses again has its old content: the
	// dispatcher does not clear it, as Linux does. The runtime must not take it for zeroed.
	{"runtime/mem_linux.go", []sub{
		{"\treturn debug.madvdontneed == 0\n", "\treturn true\n", 1},
	}},

	// A CPU exception on amd64 pushes up to 64 bytes on the stack of the goroutine.
	{"runtime/stack.go", []sub{
		{
			"\tstackSystem = goos.IsWindows*4096",
			"\tstackSystem = 512*goarch.IsAmd64 + goos.IsWindows*4096",
			1,
		},
	}},

	// A caller of the firmware's protocols may pass any number as a pointer. One that is no Go
	// pointer must not end the program when the garbage collector or a growing stack finds it.
	{"runtime/runtime1.go", []sub{
		{"\tdebug.invalidptr = 1\n", "\tdebug.invalidptr = 0\n", 1},
	}},

	// There is one CPU with cooperative fibers, and therefore no thread to take a P from.
	{"runtime/proc.go", []sub{
		{"const haveSysmon = GOARCH != \"wasm\"", "const haveSysmon = false", 1},
		{
			"\t// Record when the world started.\n",
			"\tboardgoos.Hwinit1()\n\n\t// Record when the world started.\n",
			1,
		},
		{"import (\n", "import (\n\tboardgoos \"runtime/goos\"\n", 1},
	}},

	// Nothing reads an execution trace, so none is written: with constants the compiler drops the
	// tracer.
	{"runtime/traceruntime.go", []sub{
		{"\treturn trace.enabled\n", "\treturn false\n", 1},
		{"\treturn trace.enabledWithAllocFree\n", "\treturn false\n", 1},
		{"\treturn trace.shutdown.Load()\n", "\treturn false\n", 1},
		{"\treturn tl.gen != 0\n", "\treturn false\n", 1},
	}},

	// There is no /dev/urandom: the seed comes from the board.
	{"runtime/os_linux.go", []sub{
		{
			"\tfd := open(&urandom_dev[0], 0 /* O_RDONLY */, 0)\n" +
				"\tn := read(fd, unsafe.Pointer(&r[0]), int32(len(r)))\n" +
				"\tclosefd(fd)\n",
			"\tboardgoos.InitRNG()\n" +
				"\tn, _, _ := linux.Syscall6(bareSysGetrandom, uintptr(unsafe.Pointer(&r[0])), " +
				"uintptr(len(r)), 0, 0, 0, 0)\n",
			1,
		},
		{"var urandom_dev = []byte(\"/dev/urandom\\x00\")\n", "", 1},
		{"import (\n", "import (\n\tboardgoos \"runtime/goos\"\n", 1},
	}},
}

// commonRemoved are files that the files in _src replace.
var commonRemoved = []string{
	"runtime/netpoll_epoll.go",
	// Control groups, time zone files and GODEBUG do not exist on a bare machine. Together they
	// would be a tenth of a driver's image.
	"runtime/cgroup_linux.go",
	"time/zoneinfo_unix.go",
	"internal/godebug/godebug.go",
}
