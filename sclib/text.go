package sclib

import (
	"strings"

	"tamaccid/ccid/usb"
)

// Printable gives what a card or a device says as it may be shown: each character that is not
// [usb.Printable] is a dot.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !usb.Printable(r) {
			return '.'
		}
		return r
	}, text)
}
