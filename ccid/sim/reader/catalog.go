package reader

import (
	"fmt"
	"maps"
	"slices"

	"tamaccid/ccid/usb"
)

// kinds has the models of the catalogue by name. Their identity is that of New.
var kinds = map[string]func() Model{
	"character": func() Model { return New(Character) },
	"tpdu":      func() Model { return New(TPDU) },
	"short":     func() Model { return New(ShortAPDU) },
	"extended":  func() Model { return New(ExtendedAPDU) },
	"high-speed": func() Model {
		m := New(ExtendedAPDU)
		m.Speed = usb.SpeedHigh
		m.Functions[0].CCID.MaxMessageLength = 65554
		return m
	},
	"super-speed": func() Model {
		m := New(ExtendedAPDU)
		m.Speed = usb.SpeedSuper
		return m
	},
	"two-endpoints": func() Model {
		m := New(TPDU)
		m.Functions[0].Endpoints = 2
		return m
	},
	"vendor-class": func() Model {
		m := New(TPDU)
		m.Functions[0].Class = ClassVendor
		return m
	},
	"alternate-setting": func() Model {
		m := New(TPDU)
		m.Functions[0].Setting = 1
		return m
	},
	"behind-endpoint": func() Model {
		m := New(TPDU)
		m.Functions[0].Behind = true
		return m
	},
	"manual": func() Model { // without automatic functions
		m := New(TPDU)
		m.Functions[0].CCID.Features = LevelTPDU | AutoBaud | AutoClock
		return m
	},
	"data-rate-command": func() Model {
		m := New(TPDU)
		m.Functions[0].CCID.Features = LevelTPDU | AutoVoltage
		m.Functions[0].CCID.MaximumClock = 8000
		return m
	},
	"negotiates": func() Model {
		m := New(ShortAPDU)
		m.Functions[0].CCID.Features |= AutoNegotiation
		return m
	},
	"tiny-messages": func() Model {
		m := New(ExtendedAPDU)
		m.Functions[0].CCID.MaxMessageLength = 64
		return m
	},
	"slots": func() Model { // four, two of them busy at a time
		m := New(TPDU)
		m.Functions[0].CCID.MaxSlotIndex, m.Functions[0].CCID.MaxBusySlots = 3, 2
		return m
	},
	"composite": func() Model { // an interface of another class, then two readers
		m := New(TPDU)
		second := m.Functions[0]
		second.CCID, second.Name = Usual(ExtendedAPDU), "Contactless"
		m.Functions = []Function{{Class: ClassVendor, Protocol: 0xFF, Endpoints: 1, Name: "Other"},
			m.Functions[0], second}
		return m
	},
	"pinpad": func() Model {
		m := New(TPDU)
		f := &m.Functions[0]
		f.CCID.PINSupport, f.CCID.LCDLayout = PINVerify|PINModify, 0x0210
		f.PINPad = &PINPad{Entries: []Entry{{Digits: "0000"}}}
		return m
	},
	"iccd-a": func() Model { return iccd(ICCDA, T0, 0x00000840, 271) },
	"iccd-b": func() Model { return iccd(ICCDB, T1, 0x00020840, 261) },
	"iccd-b-extended": func() Model {
		return iccd(ICCDB, T1, 0x00040840, 261)
	},
	"no-zlp": func() Model {
		m := New(TPDU)
		m.ZLP = OmitZLP
		return m
	},
}

// iccd returns a card that is a USB device: no endpoints, one slot (ICCD 1.0, table 5.3-1).
func iccd(kind Kind, protocols, features, message uint32) Model {
	m := New(TPDU)
	f := &m.Functions[0]
	f.Protocol, f.Endpoints = kind, 0
	*f.CCID = Class{
		Version: 0x0110, VoltageSupport: 1, Protocols: protocols, DefaultClock: 3580,
		MaximumClock: 3580,
		DataRate:     9600, MaxDataRate: 9600, MaxIFSD: 254, Features: features,
		MaxMessageLength: message,
		ClassGetResponse: 0xFF, ClassEnvelope: 0xFF, MaxBusySlots: 1,
	}
	return m
}

// Named returns a model of the catalogue. Names and Hostile list the names.
func Named(name string) (Model, error) {
	for _, list := range [...]map[string]func() Model{kinds, hostile} {
		if f, ok := list[name]; ok {
			return f(), nil
		}
	}
	return Model{}, fmt.Errorf("reader: unknown reader %q, known are %v and %v", name, Names(),
		Hostile())
}

// Names returns the names of the readers of the catalogue, sorted.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }
