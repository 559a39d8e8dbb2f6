package uefi

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Subtypes of the nodes that have a text of their own here (UEFI 2.11, 10.3.2 to 10.3.5).
const (
	hardwarePCI       = 1
	hardwareMemory    = 3
	hardwareVendor    = 4
	acpiDevice        = 1
	messagingATAPI    = 1
	messagingSCSI     = 2
	messagingUSB      = 5
	messagingVendor   = 10
	messagingUSBClass = 15
	messagingUnit     = 17
	messagingSATA     = 18
	messagingNVMe     = 23
	mediaHardDrive    = 1
	mediaVendor       = 3
	mediaFilePath     = 4
	mediaFVFile       = 6
	mediaFV           = 7
)

// String is the text of a path in the display form of UEFI 2.11, 10.6.1. Other nodes have the form
// Path(type,subtype,data) of the same clause. The text ends with "?" at a malformed node.
func (p DevicePath) String() string {
	var out strings.Builder
	for !p.IsEnd() {
		n, rest, err := p.Next()
		if err != nil {
			out.WriteString("?")
			break
		}
		switch {
		case n.Type == EndNode:
			out.WriteByte(',')
		default:
			if s := out.String(); s != "" && !strings.HasSuffix(s, ",") {
				out.WriteByte('/')
			}
			out.WriteString(n.String())
		}
		p = rest
	}
	return out.String()
}

// nodeTexts are functions for the text of a node whose data has at least size bytes.
var nodeTexts = map[[2]uint8]struct {
	size int
	text func(d []byte) string
}{
	{HardwareNode, hardwarePCI}: {2, func(d []byte) string {
		return fmt.Sprintf("Pci(0x%X,0x%X)",
			d[1], d[0])
	}},
	{HardwareNode, hardwareMemory}: {20, func(d []byte) string {
		return fmt.Sprintf("MemoryMapped(0x%X,0x%X,0x%X)", u32(d, 0), u64(d, 4), u64(d, 12))
	}},
	{HardwareNode, hardwareVendor}:   {guidBytes, vendorText("VenHw")},
	{MessagingNode, messagingVendor}: {guidBytes, vendorText("VenMsg")},
	{MediaNode, mediaVendor}:         {guidBytes, vendorText("VenMedia")},
	{ACPINode, acpiDevice}:           {8, acpiText},
	{MessagingNode, messagingATAPI}: {4, func(d []byte) string {
		return fmt.Sprintf("Ata(0x%X,0x%X,0x%X)", d[0], d[1], binary.LittleEndian.Uint16(d[2:]))
	}},
	{MessagingNode, messagingSCSI}: {4, func(d []byte) string {
		return fmt.Sprintf("Scsi(0x%X,0x%X)", binary.LittleEndian.Uint16(d),
			binary.LittleEndian.Uint16(d[2:]))
	}},
	{MessagingNode, messagingUSB}: {2, func(d []byte) string {
		return fmt.Sprintf("USB(0x%X,0x%X)",
			d[0], d[1])
	}},
	{MessagingNode, messagingUSBClass}: {7, func(d []byte) string {
		return fmt.Sprintf("UsbClass(0x%X,0x%X,0x%X,0x%X,0x%X)",
			binary.LittleEndian.Uint16(d), binary.LittleEndian.Uint16(d[2:]), d[4], d[5], d[6])
	}},
	{MessagingNode, messagingUnit}: {1, func(d []byte) string {
		return fmt.Sprintf("Unit(0x%X)",
			d[0])
	}},
	{MessagingNode, messagingSATA}: {6, func(d []byte) string {
		return fmt.Sprintf("Sata(0x%X,0x%X,0x%X)", binary.LittleEndian.Uint16(d),
			binary.LittleEndian.Uint16(d[2:]), binary.LittleEndian.Uint16(d[4:]))
	}},
	{MessagingNode, messagingNVMe}: {12, func(d []byte) string {
		return fmt.Sprintf("NVMe(0x%X,%02X-%02X-%02X-%02X-%02X-%02X-%02X-%02X)", u32(d, 0), d[11],
			d[10], d[9], d[8], d[7], d[6], d[5], d[4])
	}},
	{MediaNode, mediaHardDrive}: {38, hardDriveText},
	{MediaNode, mediaFilePath}:  {0, filePathText},
	{MediaNode, mediaFVFile}: {guidBytes,
		func(d []byte) string { return "FvFile(" + guidAt(d).String() + ")" }},
	{MediaNode, mediaFV}: {guidBytes,
		func(d []byte) string { return "Fv(" + guidAt(d).String() + ")" }},
}

// String is the text of one node.
func (n Node) String() string {
	if t, ok := nodeTexts[[2]uint8{n.Type, n.SubType}]; ok && len(n.Data) >= t.size {
		return t.text(n.Data)
	}
	return fmt.Sprintf("Path(%d,%d,%X)", n.Type, n.SubType, n.Data)
}

// guidBytes is the size of a GUID.
const guidBytes = 16

func guidAt(d []byte) (g GUID) {
	g.A, g.B, g.C = u32(d, 0), binary.LittleEndian.Uint16(d[4:]), binary.LittleEndian.Uint16(d[6:])
	copy(g.D[:], d[8:guidBytes])
	return g
}

func u32(d []byte, at int) uint32 { return binary.LittleEndian.Uint32(d[at:]) }
func u64(d []byte, at int) uint64 { return binary.LittleEndian.Uint64(d[at:]) }

func vendorText(name string) func(d []byte) string {
	return func(d []byte) string {
		if len(d) == guidBytes {
			return name + "(" + guidAt(d).String() + ")"
		}
		return fmt.Sprintf("%s(%s,%X)", name, guidAt(d), d[guidBytes:])
	}
}

// acpiText is the text of an ACPI node: a _HID that is a compressed EISA identifier of vendor PNP,
// and the three identifiers with names of their own (UEFI 2.11, 10.3.3 and 10.6.1).
func acpiText(d []byte) string {
	const pnp = 0x41d0 // "PNP" compressed (ACPI 6.5, 6.1.5)
	hid, uid := u32(d, 0), u32(d, 4)
	if hid&0xffff != pnp {
		return fmt.Sprintf("Acpi(0x%08X,0x%X)", hid, uid)
	}
	switch hid >> 16 {
	case 0x0a03:
		return fmt.Sprintf("PciRoot(0x%X)", uid)
	case 0x0a08:
		return fmt.Sprintf("PcieRoot(0x%X)", uid)
	case 0x0604:
		return fmt.Sprintf("Floppy(0x%X)", uid)
	}
	return fmt.Sprintf("Acpi(PNP%04X,0x%X)", hid>>16, uid)
}

// Kinds of a partition's signature (UEFI 2.11, 10.3.5.1).
const (
	signatureMBR  = 1
	signatureGUID = 2
)

func hardDriveText(d []byte) string {
	number, start, size, signature := u32(d, 0), u64(d, 4), u64(d, 12), d[20:36]
	switch d[37] {
	case signatureMBR:
		return fmt.Sprintf("HD(%d,MBR,0x%08X,0x%X,0x%X)", number, u32(signature, 0), start, size)
	case signatureGUID:
		return fmt.Sprintf("HD(%d,GPT,%s,0x%X,0x%X)", number, guidAt(signature), start, size)
	}
	return fmt.Sprintf("HD(%d,%d,0,0x%X,0x%X)", number, d[37], start, size)
}

func filePathText(d []byte) string {
	wide := make([]uint16, 0, len(d)/2)
	for ; len(d) >= 2; d = d[2:] {
		c := binary.LittleEndian.Uint16(d)
		if c == 0 {
			break
		}
		wide = append(wide, c)
	}
	return string(utf16.Decode(wide))
}
