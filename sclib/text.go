package sclib

import (
	"strings"

	"tamaccid/ccid/usb"
)

// Printable returns a text of a card or a device in a form that is safe to print: each character
// that is not [usb.Printable] becomes a dot.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !usb.Printable(r) {
			return '.'
		}
		return r
	}, text)
}
