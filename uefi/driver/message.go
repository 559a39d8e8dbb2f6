package driver

import (
	"fmt"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// maxMessage is the longest message, in bytes (policy: a few lines of a console with 80 columns).
const maxMessage = 300

// printMessage prints one line of printable characters. The console begins it on a new line.
func printMessage(format string, args ...any) { output(message(format, args...)) }

// message is the line that printMessage prints.
func message(format string, args ...any) string {
	return "smart card reader: " + usb.Text(fmt.Sprintf(format, args...), maxMessage) + "\n"
}

// output prints a message. Tests replace it.
var output = func(line string) { fmt.Print(line) }

// maxPrinted bounds for how many handles the last message is kept (policy).
const maxPrinted = 64

// printOnce prints an error of a controller. Firmware calls Start and Stop repeatedly, so the same
// message for a handle is printed once, until Stop succeeds.
func (d *Driver) printOnce(h uefi.Handle, err error) {
	line := message("%v", err)
	if path := d.boot.DevicePathOf(h); path != nil {
		line = message("%v: %v", path, err)
	}
	if d.printed[h] == line {
		return
	}
	if d.printed == nil || len(d.printed) >= maxPrinted {
		d.printed = map[uefi.Handle]string{}
	}
	d.printed[h] = line
	output(line)
}
