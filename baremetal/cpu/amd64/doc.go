// Package amd64 is what boards with an x86-64 processor share: its identification, its time stamp counter as a clock, its
// random numbers, its I/O ports.
//
// Nothing here allocates, locks or blocks: the runtime's hooks may call all of it.
//
// Specifications: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), volume 2 (CPUID, RDSEED, RDRAND) and
// volume 3 (time stamp counter: 18.17); Intel Digital Random Number Generator Software Implementation Guide (DRNG).
package amd64
