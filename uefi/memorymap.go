package uefi

import (
	"errors"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// MemoryMap is a copy of firmware's memory map at one moment.
type MemoryMap struct {
	Descriptors []MemoryDescriptor
	Key         uintptr // for ExitBootServices; any allocation makes it stale
	Version     uint32
}

// Pages is the number of pages of that type.
func (m *MemoryMap) Pages(use MemoryType) (n uint64) {
	for i := range m.Descriptors {
		if m.Descriptors[i].Type == use {
			n += m.Descriptors[i].Pages
		}
	}
	return n
}

// Bounds of GetMemoryMap (policy).
const (
	mapTries = 8       // the map may grow between two calls, by the buffer's own allocation for one
	mapSlack = 8       // descriptors beyond what firmware asked for
	maxMap   = 4 << 20 // bytes; no map of a real machine comes near
)

// GetMemoryMap reads the memory map (UEFI 2.11, 7.2.3).
func (b *BootServices) GetMemoryMap() (*MemoryMap, error) {
	var out struct {
		size, key, descriptorSize uintptr
		version                   uint32
	}
	var buf []byte
	err := error(BufferTooSmall)
	for try := 0; errors.Is(err, BufferTooSmall) && try < mapTries; try++ {
		out.size = uintptr(len(buf))
		err = check(abi.Call(b.table.GetMemoryMap, uintptr(unsafe.Pointer(&out.size)),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))),
			uintptr(unsafe.Pointer(&out.key)), uintptr(unsafe.Pointer(&out.descriptorSize)),
			uintptr(unsafe.Pointer(&out.version))))
		if errors.Is(err, BufferTooSmall) {
			if out.size > maxMap || out.descriptorSize > maxMap/mapSlack {
				return nil, BadBufferSize
			}
			buf = make([]byte, out.size+mapSlack*out.descriptorSize)
		}
	}
	if err != nil {
		return nil, err
	}
	const known = unsafe.Sizeof(MemoryDescriptor{})
	if out.descriptorSize < known || out.size > uintptr(len(buf)) {
		return nil, BadBufferSize
	}
	m := &MemoryMap{Key: out.key, Version: out.version}
	m.Descriptors = make([]MemoryDescriptor, 0, out.size/out.descriptorSize)
	buf = buf[:out.size]
	for ; uintptr(len(buf)) >= out.descriptorSize; buf = buf[out.descriptorSize:] {
		// descriptorSize is a multiple of 8 in edk2, so that descriptors are aligned.
		var d MemoryDescriptor
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&d)), known), buf)
		m.Descriptors = append(m.Descriptors, d)
	}
	return m, nil
}
