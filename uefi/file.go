package uefi

import (
	"io"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// SimpleFileSystemGUID is EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID (UEFI 2.11, 13.4).
var SimpleFileSystemGUID = MustGUID("964e5b22-6459-11d2-8e39-00a0c969723b")

// SimpleFileSystemTable is EFI_SIMPLE_FILE_SYSTEM_PROTOCOL (UEFI 2.11, 13.4.1).
type SimpleFileSystemTable struct {
	Revision   uint64
	OpenVolume uintptr
}

// FileTable is EFI_FILE_PROTOCOL (UEFI 2.11, 13.5.1). The last four members exist from Revision
// 0x20000 on.
type FileTable struct {
	Revision    uint64
	Open        uintptr
	Close       uintptr
	Delete      uintptr
	Read        uintptr
	Write       uintptr
	GetPosition uintptr
	SetPosition uintptr
	GetInfo     uintptr
	SetInfo     uintptr
	Flush       uintptr
	OpenEx      uintptr
	ReadEx      uintptr
	WriteEx     uintptr
	FlushEx     uintptr
}

// Modes of File.Open. FileCreate needs the other two (UEFI 2.11, 13.5.2).
const (
	FileRead   uint64 = 1
	FileWrite  uint64 = 2
	FileCreate uint64 = 1 << 63
)

// FileDirectory is the attribute that makes Open create a directory (UEFI 2.11, 13.5.2).
const FileDirectory uint64 = 0x10

// File is an open file or directory.
type File struct {
	addr  uintptr
	table *FileTable
}

// OpenVolume opens the root directory of the file system on h, for example the DeviceHandle of a
// loaded image.
func (b *BootServices) OpenVolume(h Handle) (*File, error) {
	addr, err := b.HandleProtocol(h, &SimpleFileSystemGUID)
	if err != nil {
		return nil, err
	}
	var root uintptr
	fn := tableAt[SimpleFileSystemTable](addr).OpenVolume
	if err := check(abi.Call(fn, addr, uintptr(unsafe.Pointer(&root)))); err != nil {
		return nil, err
	}
	return &File{root, tableAt[FileTable](root)}, nil
}

// Open opens a file relative to f; backslashes separate directories (UEFI 2.11, 13.5.2).
func (f *File) Open(name string, mode, attributes uint64) (*File, error) {
	wide := UTF16(name)
	var out uintptr
	err := check(abi.Call(f.table.Open, f.addr, uintptr(unsafe.Pointer(&out)),
		uintptr(unsafe.Pointer(unsafe.SliceData(wide))), uintptr(mode), uintptr(attributes)))
	if err != nil {
		return nil, err
	}
	return &File{out, tableAt[FileTable](out)}, nil
}

// Close writes what is pending and closes the file, which must not be used again (UEFI 2.11,
// 13.5.3).
func (f *File) Close() error { return check(abi.Call(f.table.Close, f.addr)) }

// Delete closes and deletes the file (UEFI 2.11, 13.5.4). The error is WarnDeleteFailure if the
// file could not be deleted.
func (f *File) Delete() error {
	if s := Status(abi.Call(f.table.Delete, f.addr)); s != Success {
		return s
	}
	return nil
}

// Read reads the next bytes of a file (UEFI 2.11, 13.5.5). The error is io.EOF at the end of the
// file.
func (f *File) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	size := uintptr(len(p))
	err = check(abi.Call(f.table.Read, f.addr, uintptr(unsafe.Pointer(&size)),
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))))
	switch {
	case err != nil:
		return 0, err
	case size > uintptr(len(p)):
		return 0, BadBufferSize
	case size == 0:
		return 0, io.EOF
	}
	return int(size), nil
}

// Write writes at the file's position (UEFI 2.11, 13.5.6).
func (f *File) Write(p []byte) (n int, err error) {
	size := uintptr(len(p))
	err = check(abi.Call(f.table.Write, f.addr, uintptr(unsafe.Pointer(&size)),
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))))
	n = int(min(size, uintptr(len(p))))
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Flush writes what is pending to the device (UEFI 2.11, 13.5.13).
func (f *File) Flush() error { return check(abi.Call(f.table.Flush, f.addr)) }
