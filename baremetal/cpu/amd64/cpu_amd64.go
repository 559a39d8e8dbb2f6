package amd64

// CPUID leaves (SDM volume 2, CPUID).
const (
	leafHighest  = 0x00
	leafFeatures = 0x01
	leafExtended = 0x07
	leafTSC      = 0x15 // TSC and core crystal clock

	rdrandBit = 30 // leaf 1, ECX
	rdseedBit = 18 // leaf 7, EBX
)

// CPUID asks the processor about itself.
func CPUID(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// TSC reads the time stamp counter.
func TSC() uint64

// In8 to Out32 read and write I/O ports, which takes privilege level 0.
func In8(port uint16) uint8
func In16(port uint16) uint16
func In32(port uint16) uint32
func Out8(port uint16, v uint8)
func Out16(port uint16, v uint16)
func Out32(port uint16, v uint32)

// TSCRate is how often the time stamp counter advances in a second, 0 when the processor does not tell (SDM volume 3,
// 18.17.4).
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
