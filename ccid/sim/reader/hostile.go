package reader

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tamaccid/ccid/usb"
)

// hostile has the models of hostile devices by name. They enumerate, and then either have
// descriptors with extreme values or violate the protocol in each exchange. Device.Heal ends the
// violations.
var hostile = map[string]func() Model{
	// Descriptors.
	"many-slots": func() Model { // the greatest values of the fields
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
			if e.Kind() == IccPowerOff {
				s := e.Reader.slot(e.Message[5])
				off = off || s != nil && s.active
			}
			return off
		})...)
	},
	"silent-tables": func() Model { // it does not send the tables that it declares
		m := broken(TPDU, Fault{At: AtControl, Times: Forever, If: ofClass, Do: []Action{Block()}})
		m.Functions[0].CCID.NumClocks, m.Functions[0].CCID.NumDataRates = 255, 255
		return m
	},
	"silent-strings": func() Model {
		return broken(TPDU, Fault{At: AtControl, Times: Forever, If: ofStrings,
			Do: []Action{Block()}})
	},
	"full": func() Model { // it accepts no command
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
	"empty-packets": func() Model { return broken(TPDU, each(0, ZLPFirst(500))) },
	"stalls":        func() Model { return broken(TPDU, each(0, Stall())) },
	"endless-extensions": func() Model {
		return broken(TPDU,
			each(XfrBlock, Extend(Endless, 1, 100*time.Millisecond)))
	},
	"busy": func() Model {
		return broken(TPDU,
			each(XfrBlock, WrongStatus(cmdFailed, errBusy)))
	},
}

// broken returns a reader with faults.
func broken(level Level, faults ...Fault) Model {
	m := New(level)
	m.Faults = faults
	return m
}

// each is a fault in each answer to a command. 0 means all commands.
func each(command byte, do Action) Fault {
	return Fault{At: AtAnswer, Command: command, Times: Forever, Do: []Action{do}}
}

// silence loses commands and blocks class requests while from is true.
func silence(from func(*Event) bool) []Fault {
	return []Fault{
		{At: AtCommand, Times: Forever, If: from, Do: []Action{Lose()}},
		{At: AtControl, Times: Forever, If: func(e *Event) bool { return from(e) && ofClass(e) },
			Do: []Action{Block()}},
	}
}

// ofClass reports whether a control request is a class request.
func ofClass(
	e *Event) bool {
	return e.Setup.RequestType&^usb.DirIn == usb.TypeClass|usb.ToInterface
}

// ofStrings reports whether a control request reads a string.
func ofStrings(e *Event) bool {
	return e.Setup.In() && e.Setup.Request == usb.RequestGetDescriptor &&
		e.Setup.Value>>8 == usb.TypeString
}

// hostileStrings gives a model strings of the greatest length, with control characters for
// terminals and for the direction of text. The string descriptors also have lone surrogates.
func hostileStrings(m Model) Model {
	const all = 126 // characters (USB 2.0, 9.6.7)
	name := strings.Repeat("\u009B2J\x1b[31m\u202E\uFEFF\r\n\x07", all)
	cut := func(from int) string { return string([]rune(name)[from : from+all]) }
	m.Manufacturer, m.ProductName, m.Serial = cut(0), cut(1), cut(2)
	raw := []byte{254, usb.TypeString} // the greatest length that edk2 accepts
	for len(raw) < 254 {
		raw = append(raw, 0x41, 0x00, 0x00, 0xD8, 0x1B, 0x00, 0x9B, 0x00, 0x2E, 0x20)
	}
	m.Faults = append(m.Faults, Fault{At: AtControl, Times: Forever,
		If: func(e *Event) bool { return ofStrings(e) && uint8(e.Setup.Value) != 0 },
		Do: []Action{func(e *Event) { e.Reply = raw[:254] }}})
	return m
}

// Hostile returns the names of the hostile devices, sorted. Named returns their models.
func Hostile() []string { return slices.Sorted(maps.Keys(hostile)) }
