// Package amd64 is what boards with an x86-64 processor share: processor identification, the time
// stamp counter, random numbers, I/O ports, page tables and interrupt descriptors.
//
// Nothing here allocates, locks or blocks: the runtime's hooks (package runtime/goos) may call it.
//
// TamaGo's package amd64 does not serve here. It is a whole machine: importing it defines cpuinit,
// goos.RamStackOffset and goos.InitRNG, and its page tables, vectors and processor start-up code
// lie at fixed addresses below 1 MiB, which belong to firmware or to the loader. In a UEFI image
// entry, page tables and exceptions are shared with firmware (package uefi/gate); on board q35 the
// loader decides where memory is. Besides, TamaGo's random numbers come from RDRAND alone and its
// failure is not reported, and its clock computes with floating point, which the dispatcher must
// not use. TamaGo's packages for devices (soc/intel) have no such conditions, and boards use them.
//
// Specifications: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), volume 1
// (canonical addresses: 3.3.7.1), volume 2 (CPUID, RDSEED, RDRAND) and volume 3 (paging: 4.5,
// segment descriptors: 3.4.5, interrupt descriptors: 6.14.1, time stamp counter: 18.17); Intel
// Digital Random Number Generator Software Implementation Guide (DRNG).
package amd64
