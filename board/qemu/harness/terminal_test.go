//go:build linux && !tamago

package harness

import (
	"strings"
	"testing"
)

func TestTerminal(t *testing.T) {
	tests := []struct {
		name, raw, want string
	}{
		{"plain text stays", "UEFI Shell\n", "UEFI Shell\n"},
		{"carriage returns vanish", "a\r\nb\r", "a\nb"},
		{"a colour vanishes", "\x1b[1m\x1b[33m\x1b[40mFS0:\\> \x1b[0m\x1b[37m\x1b[40m", "FS0:\\> "},
		{"cursor movements of an echo vanish", "\x1b[10;08Hv\x1b[10;09H\x1b[10;09He\x1b[10;10H",
			"ve"},
		{"a private mode vanishes", "\x1b[=3hx", "x"},
		{"a two-byte escape vanishes", "\x1bcx", "x"},
		{"a character set selection vanishes", "\x1b(Bx", "x"},
		{"an escape inside a sequence begins a new one", "\x1b[12\x1b[1mx", "x"},
		{"an escape after an escape begins a new one", "\x1b\x1b[1mx", "x"},
		{"bells, zeros and deletes vanish", "a\a\x00b\x7f", "ab"},
		{"letters outside ASCII stay", "größer", "größer"},
		{"an endless sequence is given up", "\x1b[" + strings.Repeat("1", maxSequence) + "text",
			"text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var whole terminal
			if got := string(whole.filter(nil, []byte(test.raw))); got != test.want {
				t.Errorf("in one piece: %q, want %q", got, test.want)
			}
			var pieces terminal
			var got []byte
			for i := range len(test.raw) {
				got = pieces.filter(got, []byte{test.raw[i]})
			}
			if string(got) != test.want {
				t.Errorf("byte by byte: %q, want %q", got, test.want)
			}
		})
	}
}
