package driver

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/shlex"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
)

// usage selects the host controllers that the driver takes.
type usage uint8

const (
	usbAuto     usage = iota // those that no driver of the firmware manages
	usbDirect                // all that the driver supports
	usbFirmware              // none
)

// options are the load options (UEFI 2.11, 9.1.1: LoadOptions), in words:
//
//	usb=auto      through firmware's USB stack, directly where there is none for a host controller
//	usb=direct    directly, without firmware's USB stack, wherever the driver can
//	usb=firmware  through firmware's USB stack only
//
//	wait=SECONDS  how long a card may make a program wait, 1 to 240 s
//
// The last one of several counts.
type options struct {
	usb  usage
	wait time.Duration // 0 stands for defaultWait
}

// How long SCardConnect, SCardDisconnect and SCardTransmit may take (policy). The default is more
// than the longest block waiting time, 51 s (ISO/IEC 7816-3:2006, 11.4.3). Some cards take longer
// to generate keys. maxWait is below gate.RequestLimit.
const (
	defaultWait = 60 * time.Second
	maxWait     = 240 * time.Second
)

// limit is the time limit of a function, or less by the load options.
func (o options) limit(most time.Duration) time.Duration { return min(most, o.longest()) }

// longest is how long a command may take, including all time extensions that the reader requests.
func (o options) longest() time.Duration {
	if o.wait == 0 {
		return defaultWait
	}
	return o.wait
}

// parseWait reads SECONDS.
func parseWait(text string) (wait time.Duration, ok bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	wait = time.Duration(n) * time.Second
	return wait, err == nil && wait > 0 && wait <= maxWait
}

// maxQuoted is how much of the unknown load options is printed, in bytes (policy).
const maxQuoted = 64

// quoted formats words for a message.
func quoted(words []string) string {
	text := strings.Join(words, " ")
	text = usb.Text(text, len(text))
	if short := usb.Text(text, maxQuoted); short != text {
		return fmt.Sprintf("%q...", short)
	}
	return fmt.Sprintf("%q", text)
}

// parseOptions reads the load options, and returns the unknown words. The name of the image may
// come first, as in a command line.
func parseOptions(text string) (o options, unknown []string) {
	for i, word := range shlex.Argv(text) {
		lower := strings.ToLower(word)
		if seconds, found := strings.CutPrefix(lower, "wait="); found {
			if wait, ok := parseWait(seconds); ok {
				o.wait = wait
				continue
			}
		}
		switch {
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

// timing is the part of the load options for the class driver.
func (o options) timing() *ccid.Timing { return &ccid.Timing{Limit: o.longest()} }
