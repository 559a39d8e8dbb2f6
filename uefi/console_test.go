//go:build !tamago

package uefi

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/uefi/internal/abi"
)

// screen is a console that writes down what it is given, chunk by chunk.
func screen(t *testing.T) (*TextOutput, *[]string) {
	var chunks []string
	var this uintptr
	table := &TextOutputTable{OutputString: abi.Fake(func(a []uintptr) uintptr {
		if a[0] != this {
			t.Errorf("This is %#x", a[0])
		}
		chunks = append(chunks, StringAt(a[1], 1000))
		return uintptr(WarnUnknownGlyph)
	})}
	this = address(table)
	return TextOutputAt(this), &chunks
}

func TestTextOutput(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []string
		want   string
	}{
		{"a line", []string{"Hello world!\n"}, "Hello world!\r\n"},
		{"CR LF stays", []string{"a\r\nb\n"}, "a\r\nb\r\n"},
		{"CR and LF in two writes", []string{"a\r", "\nb"}, "a\r\nb"},
		{"other languages", []string{"Grüße, 世界"}, "Grüße, 世界"},
		{"a character in pieces", []string{"\xe4", "\xb8", "\x96!"}, "世!"},
		{"a character that breaks off", []string{"\xe4\xb8", "x"}, "\ufffd\ufffdx"},
		{"bytes that are no UTF-8", []string{"a\xff\x80b"}, "a\ufffd\ufffdb"},
		{"beyond the basic plane", []string{"\U0001f511"}, "\ufffd"},
		{"escape sequences are not let through", []string{"\x1b[2J\u009b\x00\x7f"}, "?[2J???"},
		{"tabs", []string{"a\tbc\n\t", "\td"}, "a       bc\r\n                d"},
		{"a tab on a tab stop", []string{"12345678\tx"}, "12345678        x"},
		{"backspace", []string{"ab\b\tc"}, "ab\b       c"},
		{"nothing", []string{""}, ""},
		{"a long text", []string{strings.Repeat("0123456789\n", 50)},
			strings.Repeat("0123456789\r\n", 50)},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, chunks := screen(t)
			for _, w := range c.writes {
				if n, err := out.WriteString(w); n != len(w) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}
			if got := strings.Join(*chunks, ""); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, s := range *chunks {
				if n := len(UTF16(s)) - 1; n > outputChunk || n == 0 {
					t.Errorf("a chunk of %d", n)
				}
			}
		})
	}
}

func TestTextOutputRecoversFromAnError(t *testing.T) {
	status := DeviceError
	var shown string
	table := &TextOutputTable{OutputString: abi.Fake(func(a []uintptr) uintptr {
		shown += StringAt(a[1], 1000)
		return uintptr(status)
	})}
	out := TextOutputAt(address(table))
	if _, err := out.Write([]byte(strings.Repeat("x", 1000))); err != error(DeviceError) {
		t.Error(err)
	}
	status, shown = Success, ""
	if _, err := out.Write([]byte("y")); err != nil || shown != "y" {
		t.Errorf("%q, %v", shown, err)
	}
}

func TestReadKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []Key{{Char: 'a'}, {Scan: ScanEscape}}
		began, status := time.Now(), NotReady
		table := &TextInputTable{ReadKeyStroke: abi.Fake(func(a []uintptr) uintptr {
			if time.Since(began) < time.Second || len(keys) == 0 {
				return uintptr(status)
			}
			*At[Key](a[1]), keys = keys[0], keys[1:]
			return uintptr(Success)
		})}
		in := TextInputAt(address(table))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, ok, err := in.Poll(); ok || err != nil {
			t.Error("a key before any is pressed")
		}
		var got []Key
		for range 2 {
			k, err := in.ReadKey(ctx)
			if err != nil {
				t.Error(err)
			}
			got = append(got, k)
		}
		if !slices.Equal(got, []Key{{Char: 'a'}, {Scan: ScanEscape}}) {
			t.Error(got)
		}
		if _, err := in.ReadKey(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no key within a minute: %v", err)
		}
		status = DeviceError
		if _, err := in.ReadKey(context.Background()); err != error(DeviceError) {
			t.Errorf("a broken keyboard: %v", err)
		}
	})
}

func TestLoadOptions(t *testing.T) {
	text := UTF16("trace all")
	l := &LoadedImage{LoadOptions: address(&text[0]), LoadOptionsSize: uint32(2 * len(text))}
	if l.OptionText() != "trace all" {
		t.Error(l.OptionText())
	}
	l.LoadOptionsSize = 7 // a half character at the end
	if l.OptionText() != "tra" {
		t.Error(l.OptionText())
	}
	l.LoadOptionsSize = 1 << 31
	if l.Options() != nil {
		t.Error("options of 2 GiB are copied")
	}
}
