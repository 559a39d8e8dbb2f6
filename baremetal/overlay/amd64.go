//go:build !tamago

package main

// amd64 puts a call of baresys in the place of each SYSCALL instruction.
var amd64 = architecture{
	name: "amd64",
	trap: "\tSYSCALL",
	patches: []patch{
		{"runtime/sys_linux_amd64.s", []sub{
			amd64Syscalls(40),
			// rt_sigreturn finds its record at the stack pointer. It must have no frame, which the
			// assembler makes for a function that calls.
			{
				"TEXT runtime·sigreturn__sigaction(SB),NOSPLIT,$0",
				"TEXT runtime·sigreturn__sigaction(SB),NOSPLIT|NOFRAME,$0",
				1,
			},
		}},
		{"runtime/time_linux_amd64.s", []sub{amd64Syscalls(2)}},
		{"internal/runtime/syscall/linux/asm_linux_amd64.s", []sub{amd64Syscalls(1)}},
		// vfork, and gettimeofday where the kernel has no vDSO.
		{"syscall/asm_linux_amd64.s", []sub{amd64Syscalls(3)}},

		// The collector's code for AVX-512 is left out, which is 17 KB of every image: firmware's
		// interrupt entry does not save that state (edk2: FXSAVE), so images do not use it.
		{"internal/runtime/gc/scan/scan_amd64.go", []sub{
			{"\treturn avx512ScanPackedReqsMet\n", "\treturn false\n", 2},
		}},

		// The first thread's stack is part of the image. Twice the size of the other threads'
		// stacks suffices (policy).
		{"runtime/asm_amd64.s", []sub{
			{"\tLEAQ\t(-64*1024)(SP), BX\n", "\tLEAQ\t(-32*1024)(SP), BX\n", 1},
		}},
	},
	removed: []string{"runtime/rt0_linux_amd64.s"}, // bare_amd64.s has the entry point
}

// amd64Syscalls replaces the n SYSCALL instructions of a file.
func amd64Syscalls(n int) sub {
	return sub{"\tSYSCALL\n", "\tCALL\truntime·baresys(SB)\n", n}
}
