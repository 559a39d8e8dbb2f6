package sclib

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable gives what a card or a device says as it may be shown: what would control a terminal, and what is no UTF-8, is a dot.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return '.'
		}
		return r
	}, text)
}
