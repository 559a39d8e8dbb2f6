//go:build !tamago

package uefitest

import (
	"fmt"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
	"tamaccid/uefi/smartcard"
)

// SmartCard is a reader of some driver: a handle with EFI_SMART_CARD_READER_PROTOCOL. It behaves as
// UEFI 2.11, 37.6 specifies, except for the deviations in its fields.
type SmartCard struct {
	Handle uefi.Handle
	Table  *smartcard.Table

	Name      string
	ATR       []byte
	State     smartcard.State
	Active    smartcard.Protocol // chosen since the last reset
	Offers    smartcard.Protocol // of the card
	Connected bool
	Response  []byte // to every command
	Control   map[uint32][]byte
	Attrib    map[uint32][]byte
	Log       []string // calls but those of SCardStatus

	// Refuse has the results of calls that fail: connect, disconnect, status, transmit, control,
	// getattrib, and power for an SCardDisconnect that resets the card or powers it off.
	Refuse    map[string]uefi.Status
	NoNoReset bool // SCardConnect without a reset to a card with a chosen protocol fails
	NoWarm    bool // a warm reset fails
	NotReady  bool // an empty reader is EFI_NOT_READY, not EFI_NO_MEDIA

	fw *Firmware
}

// PlugSmartCard makes the handle of a reader with a T=1 card that has no power.
func (fw *Firmware) PlugSmartCard() *SmartCard {
	p := &SmartCard{
		fw:       fw,
		Name:     "ACME Reader 0",
		ATR:      []byte{0x3B, 0x00},
		State:    smartcard.Inactive,
		Offers:   smartcard.T1,
		Response: []byte{0x90, 0x00},
		Control:  map[uint32][]byte{smartcard.GetFeatureRequest: {6, 4, 6, 0, 0x33, 0x42}},
		Attrib:   map[uint32][]byte{},
		Refuse:   map[string]uefi.Status{},
		Table:    &smartcard.Table{},
	}
	p.Set(&p.Table.Connect, p.connect)
	p.Set(&p.Table.Disconnect, p.disconnect)
	p.Set(&p.Table.Status, p.status)
	p.Set(&p.Table.Transmit, func(a []uintptr) uefi.Status {
		if st := p.call("transmit", "transmit"); st != uefi.Success {
			return st
		}
		switch {
		case p.State == smartcard.Absent && !p.NotReady:
			return uefi.NoMedia
		case p.State != smartcard.Active:
			return uefi.NotReady
		}
		return output(a[3], a[4], p.Response)
	})
	p.Set(&p.Table.Control, func(a []uintptr) uefi.Status {
		return p.look("control", p.Control, uint32(a[1]), a[4], a[5])
	})
	p.Set(&p.Table.GetAttrib, func(a []uintptr) uefi.Status {
		return p.look("getattrib", p.Attrib, uint32(a[1]), a[2], a[3])
	})
	p.Handle = fw.NewHandle(nil)
	p.Plug()
	return p
}

// Set makes f one of the functions in the table. Its first argument is This.
func (p *SmartCard) Set(member *uintptr, f func(a []uintptr) uefi.Status) {
	*member = function(func(a []uintptr) uefi.Status {
		if a[0] != uintptr(unsafe.Pointer(p.Table)) {
			p.fw.t.Errorf("This is %#x, want the protocol's address", a[0])
		}
		return f(a)
	})
}

// Plug installs the protocol on the reader's handle, at another address each time.
func (p *SmartCard) Plug() {
	table := *p.Table
	p.Table = &table
	p.fw.Handles[p.Handle] = map[uefi.GUID]uintptr{smartcard.GUID: uintptr(unsafe.Pointer(p.Table))}
}

// Unplug removes the reader's handle.
func (p *SmartCard) Unplug() { delete(p.fw.Handles, p.Handle) }

func (p *SmartCard) call(entry, name string) uefi.Status {
	p.Log = append(p.Log, entry)
	return p.Refuse[name]
}

// output copies b to a caller's buffer and sets its length.
func output(at, length uintptr, b []byte) uefi.Status {
	room := *abi.At[uintptr](length)
	store(length, uintptr(len(b)))
	if room < uintptr(len(b)) {
		return uefi.BufferTooSmall
	}
	copy(unsafe.Slice(abi.At[byte](at), room), b)
	return uefi.Success
}

func (p *SmartCard) look(
	name string, in map[uint32][]byte, key uint32, at, length uintptr,
) uefi.Status {
	if st := p.call(name, name); st != uefi.Success {
		return st
	}
	b, ok := in[key]
	if !ok {
		return uefi.Unsupported
	}
	return output(at, length, b)
}

// connect is SCardConnect (UEFI 2.11, 37.6.2).
func (p *SmartCard) connect(a []uintptr) uefi.Status {
	mode, action := smartcard.AccessMode(a[1]), smartcard.Action(a[2])
	preferred := smartcard.Protocol(a[3])
	if st := p.call(fmt.Sprintf("connect %d %d %d", mode, action, preferred),
		"connect"); st != uefi.Success {
		return st
	}
	switch {
	case p.Connected:
		return uefi.AccessDenied
	case mode == smartcard.AccessReader && (action != smartcard.NoReset ||
		preferred != smartcard.Undefined):
		return uefi.InvalidParameter
	case mode == smartcard.AccessReader:
		p.Connected = true
		store(a[4], smartcard.Undefined)
		return uefi.Success
	case p.State == smartcard.Absent && p.NotReady:
		return uefi.NotReady
	case p.State == smartcard.Absent:
		return uefi.NoMedia
	case action == smartcard.NoReset && (p.State != smartcard.Active || p.NoNoReset),
		action == smartcard.WarmReset && (p.State != smartcard.Active || p.NoWarm):
		return uefi.NotReady
	}
	if action != smartcard.NoReset {
		p.Active = smartcard.Undefined
	}
	if p.Active != smartcard.Undefined && p.Active&preferred == 0 || p.Offers&preferred == 0 {
		return uefi.Unsupported
	}
	if p.Active == smartcard.Undefined {
		p.Active = smartcard.T1
		if p.Offers&preferred&smartcard.T1 == 0 {
			p.Active = smartcard.T0
		}
	}
	p.State, p.Connected = smartcard.Active, true
	store(a[4], p.Active)
	return uefi.Success
}

// disconnect is SCardDisconnect (UEFI 2.11, 37.6.3), of a reader that cannot eject.
func (p *SmartCard) disconnect(a []uintptr) uefi.Status {
	action := smartcard.Action(a[1])
	if st := p.call(fmt.Sprintf("disconnect %d", action), "disconnect"); st != uefi.Success {
		return st
	}
	switch action {
	case smartcard.Eject:
		return uefi.Unsupported
	case smartcard.NoReset:
	default:
		if st := p.Refuse["power"]; st != uefi.Success {
			return st
		}
		p.Active = smartcard.Undefined
	}
	if action == smartcard.Unpower && p.State == smartcard.Active {
		p.State = smartcard.Inactive
	}
	p.Connected = false
	return uefi.Success
}

// status is SCardStatus (UEFI 2.11, 37.6.4), for a caller that passes all buffers.
func (p *SmartCard) status(a []uintptr) uefi.Status {
	if st := p.Refuse["status"]; st != uefi.Success {
		return st
	}
	wide := uefi.UTF16(p.Name)
	var atr []byte
	if p.State == smartcard.Active {
		atr = p.ATR
	}
	store(a[3], p.State)
	store(a[4], p.Active)
	st := output(a[1], a[2], unsafe.Slice((*byte)(unsafe.Pointer(&wide[0])), 2*len(wide)))
	if s := output(a[5], a[6], atr); s != uefi.Success {
		st = s
	}
	return st
}
