package ccid

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"tamaccid/ccid/usb"
)

// maxName bounds a reader's name without its number: with slot and terminator it stays within 128 characters, the limit of
// PC/SC implementations.
const maxName = 110

// readerName is "<Manufacturer> <Product> <unit>", with "VVVV:PPPP" where the device has no strings.
func readerName(dev *usb.Device, override string, unit int) string {
	base := clean(override)
	if base == "" {
		base = clean(dev.Manufacturer + " " + dev.Product)
	}
	if base == "" {
		vendor, product, _ := dev.ID()
		base = fmt.Sprintf("%04X:%04X", vendor, product)
	}
	return fmt.Sprintf("%s %d", base, unit)
}

// clean makes a device's string fit to print: no control characters, no broken UTF-8, single spaces, bounded.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F || c == utf8.RuneError {
			return ' '
		}
		return c
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return strings.TrimSpace(s)
}
