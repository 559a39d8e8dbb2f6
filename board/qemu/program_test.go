//go:build linux && !tamago

package qemu

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

// program makes an EFI application of x86-64 machine code, which must run at any address
// (PE format specification, 3; UEFI 2.11, 2.1.1).
func program(code []byte) []byte {
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
		Subsystem:           pe.IMAGE_SUBSYSTEM_EFI_APPLICATION,
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
	for name, code := range map[string][]byte{
		"succeed.efi": {0x31, 0xC0, 0xC3}, // xor eax, eax; ret
		// mov rax, EFI_NOT_FOUND; ret
		"notfound.efi": {0x48, 0xB8, 14, 0, 0, 0, 0, 0, 0, 0x80, 0xC3},
		"hang.efi":     {0xEB, 0xFE}, // jmp to itself
		"crash.efi":    {0x0F, 0x0B}, // ud2
	} {
		if err := os.WriteFile(filepath.Join(dir, name), program(code), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
