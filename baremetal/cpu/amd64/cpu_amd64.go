package amd64

// CPUID leaves and bits (SDM volume 2, CPUID).
const (
	leafHighest  = 0x00
	leafFeatures = 0x01
	leafExtended = 0x07
	leafTSC      = 0x15 // TSC and core crystal clock

	rdrandBit = 30 // leaf 1, ECX
	rdseedBit = 18 // leaf 7, EBX
)

// cr4LA57 is CR4's bit for page tables of five levels (SDM volume 3, 2.5).
const cr4LA57 = 1 << 12

// CPUID returns the processor's identification in a leaf.
func CPUID(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// TSC reads the time stamp counter.
func TSC() uint64

// ReadMSR reads a model-specific register, which takes privilege level 0.
func ReadMSR(register uint32) uint64

// CodeSelector returns the code segment selector, CS.
func CodeSelector() uint16

// ReadCR3 returns the address of the page tables in use, with the flags in bits 11:0.
func ReadCR3() uint64

// WriteCR3 changes the page tables and flushes the TLB, but for global pages.
func WriteCR3(v uint64)

func readCR4() uint64

// PagingLevels returns the number of levels of the page tables in use: 4 or 5.
func PagingLevels() int {
	if readCR4()&cr4LA57 != 0 {
		return 5
	}
	return 4
}

// In8 reads 8 bits from an I/O port, at privilege level 0, as all accesses to I/O ports.
func In8(port uint16) uint8

// In32 reads 32 bits from an I/O port.
func In32(port uint16) uint32

// Out8 writes 8 bits to an I/O port.
func Out8(port uint16, v uint8)

// Out16 writes 16 bits to an I/O port.
func Out16(port uint16, v uint16)

// TSCRate returns the rate of the time stamp counter in Hz, 0 when the processor does not report it
// (SDM volume 3, 18.17.4).
func TSCRate() uint64 {
	if highest, _, _, _ := CPUID(leafHighest, 0); highest < leafTSC {
		return 0
	}
	den, num, crystal, _ := CPUID(leafTSC, 0)
	if den == 0 || num == 0 || crystal == 0 {
		return 0
	}
	return uint64(crystal) * uint64(num) / uint64(den)
}
