package reader

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"tamaccid/ccid/usb"
)

// Printed descriptors are the output of the "parse" tool of the libccid project: one line for a
// field, one block for an interface, and several blocks for several interfaces or devices. Endpoint
// addresses and packet sizes are missing; they are those of New.

// ErrDump means that a text is no printed descriptor.
var ErrDump = errors.New("reader: not a printed class descriptor")

// maxText bounds the input (policy): the longest printed descriptor of a real reader has less than
// 20 KB, and the table of all readers less than 150 KB.
const maxText = 1 << 20

// ParseDump reads printed descriptors and returns a model for each device. Consecutive blocks with
// the same identity and increasing interface numbers are the functions of one device.
func ParseDump(r io.Reader) ([]Model, error) {
	p := dump{}
	lines := bufio.NewScanner(io.LimitReader(r, maxText))
	for n := 1; lines.Scan(); n++ {
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDump, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDump, err)
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	if len(p.models) == 0 {
		return nil, ErrDump
	}
	return p.models, nil
}

// dump is the state of the parser.
type dump struct {
	models []Model
	m      Model
	f      Function
	open   bool
	fields map[string]bool
	list   *[]uint32 // the list of the next "Support" lines
}

// needed are the fields that a class descriptor needs. bMaxCCIDBusySlots is missing in one real
// dump.
var needed = []string{"idVendor", "idProduct", "bNumEndpoints", "bInterfaceClass", "bMaxSlotIndex",
	"dwProtocols", "dwFeatures", "dwMaxCCIDMessageLength"}

// close ends a block.
func (p *dump) close() error {
	if !p.open {
		return nil
	}
	for _, name := range needed {
		if !p.fields[name] {
			return fmt.Errorf("%w: no %s", ErrDump, name)
		}
	}
	p.open = false
	if n := len(p.models); n > 0 {
		m := &p.models[n-1]
		last := m.Functions[len(m.Functions)-1].Number
		if m.Vendor == p.m.Vendor && m.Product == p.m.Product && m.Version == p.m.Version &&
			p.f.Number > last {
			m.Functions = append(m.Functions, p.f)
			return nil
		}
	}
	p.m.Functions = []Function{p.f}
	p.models = append(p.models, p.m)
	return nil
}

// line parses a line.
func (p *dump) line(text string) error {
	name, value, ok := strings.Cut(strings.TrimSpace(text), ":")
	value = strings.TrimSpace(value)
	if !ok {
		return p.supported(name)
	}
	if name == "idVendor" {
		if err := p.close(); err != nil {
			return err
		}
		*p = dump{models: p.models, open: true, fields: map[string]bool{}}
		p.f.CCID = &Class{MaxBusySlots: 1}
		p.m.Speed = usb.SpeedFull
	}
	if !p.open {
		return nil
	}
	switch name {
	case "iManufacturer":
		p.m.Manufacturer = value
		return nil
	case "iProduct":
		p.m.ProductName = value
		return nil
	case "iInterface":
		if value != "?" && value != "0" {
			p.f.Name = value
		}
		return nil
	}
	set, ok := setters[name]
	if !ok {
		return nil // a comment
	}
	if name == "bDescriptorType" && !p.fields["CCID"] {
		p.fields["CCID"] = true // of the interface descriptor, 4
		return nil
	}
	v, err := number(name, value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.fields[name] = true
	p.list = nil
	set(p, v)
	return nil
}

// supported parses a line of a list of clocks or data rates: "Support 13978 bps".
func (p *dump) supported(text string) error {
	word := strings.Fields(text)
	if p.list == nil || len(word) != 3 || word[0] != "Support" {
		return nil
	}
	v, err := strconv.ParseInt(word[1], 10, 64)
	if err != nil {
		return err
	}
	*p.list = append(*p.list, uint32(v)) // the tool prints some values as negative numbers
	return nil
}

// setters has a function for each field name.
var setters = map[string]func(p *dump, v uint64){
	"idVendor":           func(p *dump, v uint64) { p.m.Vendor = uint16(v) },
	"idProduct":          func(p *dump, v uint64) { p.m.Product = uint16(v) },
	"bcdDevice":          func(p *dump, v uint64) { p.m.Version = uint16(v) },
	"bInterfaceNumber":   func(p *dump, v uint64) { p.f.Number = uint8(v) },
	"bNumEndpoints":      func(p *dump, v uint64) { p.f.Endpoints = int(min(v, 3)) },
	"bInterfaceClass":    func(p *dump, v uint64) { p.f.Class = uint8(v) },
	"bInterfaceSubClass": func(p *dump, v uint64) { p.f.SubClass = uint8(v) },
	"bInterfaceProtocol": func(p *dump, v uint64) { p.f.Protocol = Kind(v) },
	"bDescriptorType":    func(p *dump, v uint64) { p.f.DescriptorType = uint8(v) },
	"bcdCCID":            func(p *dump, v uint64) { p.f.CCID.Version = uint16(v) },
	"bMaxSlotIndex":      func(p *dump, v uint64) { p.f.CCID.MaxSlotIndex = uint8(v) },
	"bVoltageSupport":    func(p *dump, v uint64) { p.f.CCID.VoltageSupport = uint8(v) },
	"dwProtocols":        func(p *dump, v uint64) { p.f.CCID.Protocols = uint32(v) },
	"dwDefaultClock":     func(p *dump, v uint64) { p.f.CCID.DefaultClock = uint32(v) },
	"dwMaximumClock":     func(p *dump, v uint64) { p.f.CCID.MaximumClock = uint32(v) },
	"bNumClockSupported": func(p *dump, v uint64) {
		p.f.CCID.NumClocks, p.list = uint8(v),
			&p.f.Clocks
	},
	"dwDataRate":    func(p *dump, v uint64) { p.f.CCID.DataRate = uint32(v) },
	"dwMaxDataRate": func(p *dump, v uint64) { p.f.CCID.MaxDataRate = uint32(v) },
	"bNumDataRatesSupported": func(p *dump, v uint64) {
		p.f.CCID.NumDataRates, p.list = uint8(v),
			&p.f.Rates
	},
	"dwMaxIFSD":              func(p *dump, v uint64) { p.f.CCID.MaxIFSD = uint32(v) },
	"dwSynchProtocols":       func(p *dump, v uint64) { p.f.CCID.SynchProtocols = uint32(v) },
	"dwMechanical":           func(p *dump, v uint64) { p.f.CCID.Mechanical = uint32(v) },
	"dwFeatures":             func(p *dump, v uint64) { p.f.CCID.Features = uint32(v) },
	"dwMaxCCIDMessageLength": func(p *dump, v uint64) { p.f.CCID.MaxMessageLength = uint32(v) },
	"bClassGetResponse":      func(p *dump, v uint64) { p.f.CCID.ClassGetResponse = uint8(v) },
	"bClassEnvelope":         func(p *dump, v uint64) { p.f.CCID.ClassEnvelope = uint8(v) },
	"wLcdLayout":             func(p *dump, v uint64) { p.f.CCID.LCDLayout = uint16(v) },
	"bPINSupport":            func(p *dump, v uint64) { p.f.CCID.PINSupport = uint8(v) },
	"bMaxCCIDBusySlots":      func(p *dump, v uint64) { p.f.CCID.MaxBusySlots = uint8(v) },
}

// number parses the value of a field in the tool's format: two words for dwProtocols, binary coded
// decimals with a dot, clocks in MHz with three decimal places, others in decimal or with 0x.
func number(name, value string) (uint64, error) {
	word := strings.FieldsFunc(value, unicode.IsSpace)
	if len(word) == 0 {
		return 0, strconv.ErrSyntax
	}
	switch name {
	case "dwProtocols":
		if len(word) < 2 {
			return 0, strconv.ErrSyntax
		}
		high, err := strconv.ParseUint(word[0], 0, 16)
		if err != nil {
			return 0, err
		}
		low, err := strconv.ParseUint(word[1], 0, 16)
		return high<<16 | low, err
	case "bcdDevice", "bcdCCID":
		return version(word[0])
	case "dwDefaultClock", "dwMaximumClock":
		return megahertz(word[0])
	}
	return strconv.ParseUint(word[0], 0, 32)
}

// version parses "5.04": a hexadecimal byte on each side of the dot.
func version(s string) (uint64, error) {
	major, minor, ok := strings.Cut(s, ".")
	if !ok {
		return 0, strconv.ErrSyntax
	}
	high, err := strconv.ParseUint(major, 16, 8)
	if err != nil {
		return 0, err
	}
	low, err := strconv.ParseUint(minor, 16, 8)
	return high<<8 | low, err
}

// megahertz parses "4.800" and returns kHz.
func megahertz(s string) (uint64, error) {
	const places = 3
	whole, part, _ := strings.Cut(s, ".")
	if len(part) != places {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(whole+part, 10, 32)
}
