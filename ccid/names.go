package ccid

import (
	"fmt"

	"tamaccid/ccid/usb"
)

// maxName bounds a reader's name without its number: with slot and terminator it stays within 128
// characters, the limit of PC/SC implementations.
const maxName = 110

// readerName is "<Manufacturer> <Product> <unit>", with "VVVV:PPPP" where the device has no
// strings.
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

// clean is a device's string without characters that cannot be shown.
func clean(s string) string { return usb.Text(s, maxName) }
