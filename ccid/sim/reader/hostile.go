package reader

import (
	"sort"
	"strings"
	"time"

	"tamaccid/ccid/usb"
)

// hostile are devices that enumerate and then do what a class driver has to survive: their
// descriptors ask for too much, or they break the protocol each time. Device.Heal makes an ordinary
// reader of those that do the latter.
var hostile = map[string]func() Model{
	// Descriptors.
	"many-slots": func() Model { // all that the fields can hold
		m := New(TPDU)
		c := m.Functions[0].CCID
		c.MaxSlotIndex, c.MaxBusySlots, c.MaxMessageLength = 255, 255, 0xFFFFFFFF
		return m
	},
	"many-functions": func() Model { // 30 ICCDs, which need no endpoints, in one device
		m := iccd(ICCDB, T1, 0x00020840, 261)
		for len(m.Functions) < 30 {
			m.Functions = append(m.Functions, m.Functions[0])
		}
		return m
	},
	"many-rates": func() Model {
		m := New(TPDU)
		f := &m.Functions[0]
		f.CCID.NumClocks, f.CCID.NumDataRates = 255, 255
		f.Clocks, f.Rates = make([]uint32, 255), make([]uint32, 255)
		for i := range f.Rates {
			f.Clocks[i], f.Rates[i] = 0xFFFFFFFF-uint32(i), 0xFFFFFFFF-uint32(i)
		}
		return m
	},
	"hostile-strings": func() Model { return hostileStrings(New(TPDU)) },
	"hostile-strings-vendor": func() Model {
		m := hostileStrings(New(TPDU))
		m.Functions[0].Class = ClassVendor
		return m
	},

	// Silence.
	"silent": func() Model { return broken(TPDU, silence(func(*Event) bool { return true })...) },
	"silent-at-power-off": func() Model {
		off := false
		return broken(TPDU, silence(func(e *Event) bool {
			off = off || e.Kind() == IccPowerOff && e.Reader.slot(e.Message[5]) != nil && e.Reader.slot(e.Message[5]).active
			return off
		})...)
	},
	"silent-tables": func() Model { // the tables that it declares are never sent
		m := broken(TPDU, Fault{At: AtControl, Times: Forever, If: ofClass, Do: []Action{Block()}})
		m.Functions[0].CCID.NumClocks, m.Functions[0].CCID.NumDataRates = 255, 255
		return m
	},
	"silent-strings": func() Model {
		return broken(TPDU, Fault{At: AtControl, Times: Forever, If: ofStrings, Do: []Action{Block()}})
	},
	"full": func() Model { // takes no command
		return broken(TPDU, Fault{At: AtOut, Times: Forever, Do: []Action{Block()}})
	},

	// Answers.
	"wrong-type":     func() Model { return broken(TPDU, each(0, WrongType(0xEE))) },
	"wrong-slot":     func() Model { return broken(TPDU, each(0, WrongSlot(200))) },
	"wrong-sequence": func() Model { return broken(TPDU, each(0, WrongSeq(1))) },
	"wrong-length":   func() Model { return broken(TPDU, each(0, WrongLength(0xFFFFFFF0))) },
	"huge-answers": func() Model {
		m := broken(ExtendedAPDU, each(0, Payload(make([]byte, 65544))))
		m.Functions[0].CCID.MaxMessageLength = 0xFFFFFFFF
		return m
	},
	"empty-packets":      func() Model { return broken(TPDU, each(0, ZLPFirst(500))) },
	"stalls":             func() Model { return broken(TPDU, each(0, Stall())) },
	"endless-extensions": func() Model { return broken(TPDU, each(XfrBlock, Extend(Endless, 1, 100*time.Millisecond))) },
	"busy":               func() Model { return broken(TPDU, each(XfrBlock, WrongStatus(cmdFailed, errBusy))) },
}

// broken is a reader with faults from the beginning.
func broken(level Level, faults ...Fault) Model {
	m := New(level)
	m.Faults = faults
	return m
}

// each does something to every answer to a command, 0 standing for all commands.
func each(command byte, do Action) Fault {
	return Fault{At: AtAnswer, Command: command, Times: Forever, Do: []Action{do}}
}

// silence loses commands, and blocks class requests, from the moment at which from becomes true.
func silence(from func(*Event) bool) []Fault {
	return []Fault{
		{At: AtCommand, Times: Forever, If: from, Do: []Action{Lose()}},
		{At: AtControl, Times: Forever, If: func(e *Event) bool { return from(e) && ofClass(e) }, Do: []Action{Block()}},
	}
}

// ofClass reports whether a control request is one of the class.
func ofClass(e *Event) bool { return e.Setup.RequestType&^usb.DirIn == usb.TypeClass|usb.ToInterface }

// ofStrings reports whether a control request asks for a string.
func ofStrings(e *Event) bool {
	return e.Setup.In() && e.Setup.Request == usb.RequestGetDescriptor && e.Setup.Value>>8 == usb.TypeString
}

// hostileStrings gives a device names of the greatest length, of characters that move a cursor or
// the direction of writing. On the wire they have lone surrogates besides.
func hostileStrings(m Model) Model {
	const all = 126 // characters (USB 2.0, 9.6.7)
	name := strings.Repeat("\u009B2J\x1b[31m\u202E\uFEFF\r\n\x07", all)
	m.Manufacturer, m.ProductName, m.Serial = string([]rune(name)[:all]), string([]rune(name)[1:all+1]), string([]rune(name)[2:all+2])
	raw := []byte{254, usb.TypeString} // the greatest length that edk2 accepts
	for len(raw) < 254 {
		raw = append(raw, 0x41, 0x00, 0x00, 0xD8, 0x1B, 0x00, 0x9B, 0x00, 0x2E, 0x20)
	}
	m.Faults = append(m.Faults, Fault{At: AtControl, Times: Forever,
		If: func(e *Event) bool { return ofStrings(e) && uint8(e.Setup.Value) != 0 },
		Do: []Action{func(e *Event) { e.Reply = raw[:254] }}})
	return m
}

// Hostile lists the hostile devices. Named makes them as it makes the readers of the catalogue.
func Hostile() []string {
	names := make([]string, 0, len(hostile))
	for n := range hostile {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
