package usb

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable reports whether a character of a device, a card or a caller may be shown: letters,
// marks, digits, punctuation, symbols and the space. Other characters could control a terminal or
// change the appearance of the text around them: control characters (C0 and C1), format characters
// such as those for the direction of text, line and paragraph separators, private and unassigned
// characters, and the replacement character for malformed UTF-8 or UTF-16.
func Printable(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }

// Text is s without characters that cannot be shown: one line of [Printable] characters with single
// spaces between the words, at most size bytes.
func Text(s string, size int) string {
	s = strings.Map(func(r rune) rune {
		if Printable(r) {
			return r
		}
		return ' '
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > size {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimSpace(s)
}
