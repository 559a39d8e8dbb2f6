package usbhost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"tamaccid/ccid/usb"
)

// String descriptors (USB 2.0, 9.6.7).
const (
	maxString      = 255    // bLength
	english        = 0x0409 // USB_LANGIDs: English (United States)
	maxStringReads = 48     // of one device (policy)
)

// deviceStrings reads the strings of a device, each once. Strings are optional. After a device has
// not responded to one request for a string, no more are sent.
type deviceStrings struct {
	d        *device
	language uint16
	usable   bool
	reads    int
	known    map[uint8]string
}

// newStrings reads the languages of a device.
func newStrings(d *device) *deviceStrings {
	s := &deviceStrings{d: d, usable: true, known: map[uint8]string{0: ""}}
	p := d.parsed
	if p.ManufacturerIdx|p.ProductIdx|p.SerialIdx == 0 && !namedInterfaces(d.config) {
		s.usable = false
		return s
	}
	languages, err := stringUnits(s.read(0))
	s.usable = s.usable && err == nil
	s.language = chooseLanguage(languages)
	return s
}

func namedInterfaces(config []byte) bool {
	interfaces, _ := usb.Interfaces(config)
	return slices.ContainsFunc(interfaces, func(i usb.Interface) bool { return i.NameIdx != 0 })
}

// get returns the string with an index, empty if it cannot be read.
func (s *deviceStrings) get(index uint8) string {
	text, ok := s.known[index]
	if ok || !s.usable {
		return text
	}
	text, _ = parseString(s.read(index))
	s.known[index] = text
	return text
}

// read reads string descriptor index: with the largest length, or if the device refuses that, first
// its length.
func (s *deviceStrings) read(index uint8) []byte {
	b := make([]byte, maxString)
	if n, err := s.try(index, b); err == nil && wholeString(b[:n]) {
		return b[:n]
	}
	n, err := s.try(index, b[:2])
	if err != nil || n < 2 || b[0] <= 2 {
		return nil
	}
	n, err = s.try(index, b[:b[0]])
	if err != nil {
		return nil
	}
	return b[:n]
}

func (s *deviceStrings) try(index uint8, b []byte) (n int, err error) {
	if s.reads++; !s.usable || s.reads > maxStringReads {
		return 0, usb.ErrStall
	}
	n, err = s.d.readDescriptor(usb.TypeString, index, s.language, b)
	if err != nil && !errors.Is(err, usb.ErrStall) {
		s.usable = false
	}
	return n, err
}

// wholeString reports whether b contains a complete string descriptor.
func wholeString(b []byte) bool {
	return len(b) >= 2 && b[1] == usb.TypeString && b[0] >= 2 && int(b[0]) <= len(b)
}

// parseString parses a string descriptor. An odd last byte is ignored, and so is all that follows a
// NUL.
func parseString(b []byte) (string, error) {
	units, err := stringUnits(b)
	if err != nil {
		return "", err
	}
	text := string(utf16.Decode(units)) // a lone surrogate becomes U+FFFD
	text, _, _ = strings.Cut(text, "\x00")
	return text, nil
}

// stringUnits returns the 16-bit units of a string descriptor: UTF-16 code units, or the language
// codes of descriptor 0.
func stringUnits(b []byte) ([]uint16, error) {
	if !wholeString(b) {
		return nil, fmt.Errorf("%w: string of %d bytes", usb.ErrDescriptor, len(b))
	}
	b = b[2:b[0]]
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return units, nil
}

// chooseLanguage prefers English, in which readers have their usual names, to the first language.
// It is English too for devices without a language.
func chooseLanguage(languages []uint16) uint16 {
	if len(languages) == 0 || slices.Contains(languages, english) {
		return english
	}
	return languages[0]
}
