package driver

import (
	"fmt"
	"strings"

	"github.com/u-root/u-root/pkg/shlex"

	"tamaccid/ccid/usb"
)

// usage says which host controllers the driver takes for itself.
type usage uint8

const (
	usbAuto     usage = iota // those that no driver of firmware's manages
	usbDirect                // all that it can drive
	usbFirmware              // none
)

// options are what the load options say (UEFI 2.11, 9.1.1: LoadOptions), in words:
//
//	usb=auto      through firmware's USB stack, directly where there is none for a host controller
//	usb=direct    directly, without firmware's USB stack, wherever the driver can
//	usb=firmware  through firmware's USB stack only
//
// The last one of several counts.
type options struct {
	usb usage
}

// maxQuoted is how much of the unknown load options a message shows, in bytes (policy).
const maxQuoted = 64

// quoted shows words in a message.
func quoted(words []string) string {
	text := strings.Join(words, " ")
	text = usb.Text(text, len(text))
	if short := usb.Text(text, maxQuoted); short != text {
		return fmt.Sprintf("%q...", short)
	}
	return fmt.Sprintf("%q", text)
}

// parseOptions reads the load options, and returns the words that mean nothing. The image's own name may come first, as in a
// command line.
func parseOptions(text string) (o options, unknown []string) {
	for i, word := range shlex.Argv(text) {
		switch lower := strings.ToLower(word); {
		case lower == "usb=auto":
			o.usb = usbAuto
		case lower == "usb=direct":
			o.usb = usbDirect
		case lower == "usb=firmware":
			o.usb = usbFirmware
		case i == 0 && strings.HasSuffix(lower, ".efi"):
		default:
			unknown = append(unknown, word)
		}
	}
	return o, unknown
}
