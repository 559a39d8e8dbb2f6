package driver

import (
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// maxRetired is how many interfaces of removed readers stay as they are (policy). A program that
// still holds a pointer to one calls functions that return EFI_DEVICE_ERROR. The memory is used for
// a new reader only after that many other readers have been removed.
const maxRetired = 64

// readers are all interfaces that were ever installed. They do not move and are never freed while
// the driver is loaded.
type readers struct {
	all     []*reader
	retired []*reader // the oldest first
}

// new creates the interface of a slot. s is nil for a slot that is not open yet.
func (rs *readers) new(name string, s slot, members smartcard.Table) *reader {
	var r *reader
	if len(rs.retired) > maxRetired {
		r, rs.retired = rs.retired[0], rs.retired[1:]
	} else {
		r = new(reader)
		rs.all = append(rs.all, r)
	}
	*r = reader{table: members, slot: s, name: uefi.UTF16(name)}
	return r
}

// wipe clears the memory of commands and answers in progress. It is for the end of the driver or of
// boot services: see ccid.Slot.Wipe.
func (rs *readers) wipe() {
	for _, r := range rs.all {
		if r.slot != nil {
			r.slot.Wipe()
		}
	}
}

// retire marks a reader whose interface is not installed any more as removed.
func (rs *readers) retire(r *reader) {
	r.markGone()
	rs.retired = append(rs.retired, r)
}

// leave marks a reader as removed. Its interface may still be installed.
func (r *reader) markGone() {
	r.gone, r.slot, r.open, r.pollNotifications, r.held = true, nil, nil, nil, 0
}

// at is the reader whose interface is at addr.
func (rs *readers) at(addr uintptr) *reader {
	for _, r := range rs.all {
		if r.address() == addr {
			return r
		}
	}
	return nil
}

// address is the address of the interface: This.
func (r *reader) address() uintptr { return uintptr(unsafe.Pointer(&r.table)) }
