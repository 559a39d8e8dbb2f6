package driver

import (
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// tombs is how many interfaces of unplugged readers stay as they are (policy).
// A program that still holds such a pointer finds functions behind it, which
// answer EFI_DEVICE_ERROR; only when that many readers more have gone is the
// memory a new reader's.
const tombs = 64

// readers are all interfaces that were ever handed out. They do not move and
// are never freed while the driver is loaded.
type readers struct {
	all  []*reader
	dead []*reader // oldest first
}

// new makes the interface of a slot, nil for one that is not known yet.
func (rs *readers) new(name string, s slot, members smartcard.Table) *reader {
	var r *reader
	if len(rs.dead) > tombs {
		r, rs.dead = rs.dead[0], rs.dead[1:]
	} else {
		r = new(reader)
		rs.all = append(rs.all, r)
	}
	*r = reader{table: members, slot: s, name: uefi.UTF16(name)}
	return r
}

// wipe clears what commands and answers in progress have left in memory. It is for the end of the
// driver or of boot services: see ccid.Slot.Wipe.
func (rs *readers) wipe() {
	for _, r := range rs.all {
		if r.slot != nil {
			r.slot.Wipe()
		}
	}
}

// retire ends the life of a reader whose interface is installed no longer.
func (rs *readers) retire(r *reader) {
	r.leave()
	rs.dead = append(rs.dead, r)
}

// leave says that the reader has gone. Its interface may be installed still.
func (r *reader) leave() { r.gone, r.slot, r.open, r.hear, r.held = true, nil, nil, nil, 0 }

// at is the reader whose interface is at addr.
func (rs *readers) at(addr uintptr) *reader {
	for _, r := range rs.all {
		if r.address() == addr {
			return r
		}
	}
	return nil
}

// address is what firmware calls This.
func (r *reader) address() uintptr { return uintptr(unsafe.Pointer(&r.table)) }
