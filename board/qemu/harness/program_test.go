//go:build linux && !tamago

package harness

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// Layout of the test programs: headers in the first 512 bytes, one section of code behind them.
const (
	fileAlignment    = 0x200
	sectionAlignment = 0x1000
)

// program makes an EFI image of x86-64 machine code, which must run at any address
// (PE format specification, 3; UEFI 2.11, 2.1.1).
func program(subsystem uint16, code []byte) []byte {
	const (
		peOffset         = 0x40
		sizeOfOptional   = 240 // with all 16 data directories
		codeReadExecute  = pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_MEM_READ | pe.IMAGE_SCN_MEM_EXECUTE
		largeAddressable = pe.IMAGE_FILE_LARGE_ADDRESS_AWARE
	)
	var b bytes.Buffer
	dos := make([]byte, peOffset)
	copy(dos, "MZ")
	binary.LittleEndian.PutUint32(dos[0x3C:], peOffset)
	b.Write(dos)
	b.WriteString("PE\x00\x00")
	binary.Write(&b, binary.LittleEndian, pe.FileHeader{
		Machine:              pe.IMAGE_FILE_MACHINE_AMD64,
		NumberOfSections:     1,
		SizeOfOptionalHeader: sizeOfOptional,
		Characteristics:      pe.IMAGE_FILE_EXECUTABLE_IMAGE | largeAddressable,
	})
	binary.Write(&b, binary.LittleEndian, pe.OptionalHeader64{
		Magic:               0x20B,
		SizeOfCode:          fileAlignment,
		AddressOfEntryPoint: sectionAlignment,
		BaseOfCode:          sectionAlignment,
		SectionAlignment:    sectionAlignment,
		FileAlignment:       fileAlignment,
		SizeOfImage:         2 * sectionAlignment,
		SizeOfHeaders:       fileAlignment,
		Subsystem:           subsystem,
		NumberOfRvaAndSizes: 16,
	})
	section := pe.SectionHeader32{
		VirtualSize:      fileAlignment,
		VirtualAddress:   sectionAlignment,
		SizeOfRawData:    fileAlignment,
		PointerToRawData: fileAlignment,
		Characteristics:  codeReadExecute,
	}
	copy(section.Name[:], ".text")
	binary.Write(&b, binary.LittleEndian, section)
	b.Write(make([]byte, fileAlignment-b.Len()))
	b.Write(code)
	b.Write(make([]byte, 2*fileAlignment-b.Len()))
	return b.Bytes()
}

// volume makes a directory of test programs and a script.
func volume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := "@echo -off\r\npause\r\n"
	if err := os.WriteFile(filepath.Join(dir, "wait.nsh"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	const application, driver = pe.IMAGE_SUBSYSTEM_EFI_APPLICATION,
		pe.IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER
	for _, p := range []struct {
		name      string
		subsystem uint16
		code      []byte
	}{
		// xor eax, eax; ret
		{"succeed.efi", application, []byte{0x31, 0xC0, 0xC3}},
		// mov rax, EFI_NOT_FOUND; ret
		{"notfound.efi", application, []byte{0x48, 0xB8, 14, 0, 0, 0, 0, 0, 0, 0x80, 0xC3}},
		// jmp to itself
		{"hang.efi", application, []byte{0xEB, 0xFE}},
		{"crash.efi", application, []byte{0x0F, 0x0B}}, // ud2
		{"resident.efi", driver, resident},
	} {
		if err := os.WriteFile(filepath.Join(dir, p.name), program(p.subsystem, p.code),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// resident is a driver without anything in it but an Unload function (UEFI 2.11, 9.1): the Shell
// unloads no other.
var resident = []byte{
	0x53,                   // push rbx
	0x48, 0x83, 0xEC, 0x30, // sub rsp, 48
	0x48, 0x8B, 0x42, 0x60, // mov rax, [rdx+96]        boot services
	0x48, 0x8D, 0x15, 0x26, 0x00, 0x00, 0x00, // lea rdx, [guid]
	0x4C, 0x8D, 0x44, 0x24, 0x20, // lea r8, [rsp+32]
	0xFF, 0x90, 0x98, 0x00, 0x00, 0x00, // call [rax+152]          HandleProtocol
	0x48, 0x8B, 0x4C, 0x24, 0x20, // mov rcx, [rsp+32]
	0x48, 0x8D, 0x15, 0x0C, 0x00, 0x00, 0x00, // lea rdx, [unload]
	0x48, 0x89, 0x51, 0x58, // mov [rcx+88], rdx        Unload
	0x48, 0x83, 0xC4, 0x30, // add rsp, 48
	0x5B,             // pop rbx
	0x31, 0xC0, 0xC3, // xor eax, eax; ret
	0x31, 0xC0, 0xC3, // unload: xor eax, eax; ret
	// guid: EFI_LOADED_IMAGE_PROTOCOL
	0xA1, 0x31, 0x1B, 0x5B, 0x62, 0x95, 0xD2, 0x11, 0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B,
}
