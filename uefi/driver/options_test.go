package driver

import (
	"slices"
	"testing"
)

func TestLoadOptions(t *testing.T) {
	for _, c := range []struct {
		name, text string
		usb        usage
		unknown    []string
	}{
		{name: "none", usb: usbAuto},
		{name: "blanks", text: "  \t ", usb: usbAuto},
		{name: "directly", text: "usb=direct", usb: usbDirect},
		{name: "through firmware", text: "usb=firmware", usb: usbFirmware},
		{name: "as the platform is", text: "usb=auto", usb: usbAuto},
		{name: "capital letters", text: "USB=Direct", usb: usbDirect},
		{name: "behind the image's name", text: `fs0:\EFI\SmartCardReader.efi usb=direct`,
			usb: usbDirect},
		{name: "quoted", text: `"usb=direct"`, usb: usbDirect},
		{name: "the last one counts", text: "usb=direct usb=firmware", usb: usbFirmware},
		{name: "another word", text: "usb=direct verbose", usb: usbDirect,
			unknown: []string{"verbose"}},
		{name: "another value", text: "usb=ehci", usb: usbAuto, unknown: []string{"usb=ehci"}},
		{name: "a name that is not the first word", text: "usb=direct a.efi", usb: usbDirect,
			unknown: []string{"a.efi"}},
		{name: "an open quote", text: `usb=direct "x`, usb: usbDirect, unknown: []string{"x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, unknown := parseOptions(c.text)
			if o.usb != c.usb || !slices.Equal(unknown, c.unknown) {
				t.Errorf("%v, unknown %q", o.usb, unknown)
			}
		})
	}
}
