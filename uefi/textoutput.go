package uefi

import (
	"sync"
	"unicode/utf8"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// TextOutputGUID is EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID (UEFI 2.11, 12.4.1).
var TextOutputGUID = MustGUID("387477c2-69c7-11d2-8e39-00a0c969723b")

// TextOutputTable is EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL (UEFI 2.11, 12.4.1).
type TextOutputTable struct {
	Reset             uintptr
	OutputString      uintptr
	TestString        uintptr
	QueryMode         uintptr
	SetMode           uintptr
	SetAttribute      uintptr
	ClearScreen       uintptr
	SetCursorPosition uintptr
	EnableCursor      uintptr
	Mode              uintptr // SIMPLE_TEXT_OUTPUT_MODE *
}

// TextOutputMode is SIMPLE_TEXT_OUTPUT_MODE (UEFI 2.11, 12.4.1).
type TextOutputMode struct {
	MaxMode       int32
	Mode          int32
	Attribute     int32
	CursorColumn  int32
	CursorRow     int32
	CursorVisible uint8
}

// outputChunk is how many CHAR16 one call of OutputString gets (policy).
const outputChunk = 128

// tabStop is the distance of the columns that a tab goes to (policy): firmware need not support the
// character.
const tabStop = 8

// TextOutput writes text to a console. It is an io.Writer of UTF-8 that may be shared by
// goroutines.
type TextOutput struct {
	mu      sync.Mutex
	addr    uintptr
	table   *TextOutputTable
	chunk   [outputChunk + 1]uint16 // room for a NUL
	fill    int
	partial [utf8.UTFMax]byte // a character that the last Write began
	held    int
	column  int
	cr      bool // the last character was CR
}

// TextOutputAt is the console at a protocol's address. With address 0 everything written is
// Unsupported.
func TextOutputAt(addr uintptr) *TextOutput {
	return &TextOutput{addr: addr, table: tableAt[TextOutputTable](addr)}
}

var (
	conOut = TextOutputAt(system.ConOut)
	stdErr = TextOutputAt(system.StdErr)
)

// ConOut is the console for output.
func ConOut() *TextOutput { return conOut }

// StdErr is the console for errors. Some firmware has none, and writing to it is Unsupported.
func StdErr() *TextOutput { return stdErr }

// Write shows UTF-8 text. LF becomes CR LF, a tab becomes spaces; other control characters but BS
// and CR, and characters beyond UCS-2, become U+FFFD or '?', so that text from a device cannot
// control a terminal. A character may be split over two calls. Nothing is allocated.
func (t *TextOutput) Write(p []byte) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n < len(p) {
		if t.held > 0 || p[n] >= utf8.RuneSelf {
			t.partial[t.held] = p[n]
			t.held++
			n++
			err = t.complete()
		} else {
			err = t.put(rune(p[n]))
			n++
		}
		if err != nil {
			t.fill, t.held = 0, 0
			return n, err
		}
	}
	return n, t.flush()
}

// WriteString is Write for a string.
func (t *TextOutput) WriteString(s string) (n int, err error) {
	return t.Write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// complete puts out what is held as soon as it is a character, whole or broken.
func (t *TextOutput) complete() error {
	for t.held > 0 && utf8.FullRune(t.partial[:t.held]) {
		r, size := utf8.DecodeRune(t.partial[:t.held])
		copy(t.partial[:], t.partial[size:t.held])
		t.held -= size
		if err := t.put(r); err != nil {
			return err
		}
	}
	return nil
}

// Control characters of a text device (UEFI 2.11, 12.4.3).
const (
	backspace = '\b'
	lineFeed  = '\n'
	carriage  = '\r'
)

// put adds one character to the chunk.
func (t *TextOutput) put(r rune) (err error) {
	wasCR := t.cr
	t.cr = r == carriage
	switch {
	case r == lineFeed:
		t.column = 0
		if !wasCR {
			err = t.unit(carriage)
		}
	case r == carriage:
		t.column = 0
	case r == backspace:
		t.column = max(t.column-1, 0)
	case r == '\t':
		for n := tabStop - t.column%tabStop; n > 1 && err == nil; n-- {
			t.column++
			err = t.unit(' ')
		}
		r = ' '
		t.column++
	case r < ' ' || r >= 0x7f && r < 0xa0: // C0, DEL, C1
		r = '?'
		t.column++
	case r > 0xffff:
		r = utf8.RuneError
		t.column++
	default:
		t.column++
	}
	if err != nil {
		return err
	}
	return t.unit(uint16(r))
}

func (t *TextOutput) unit(c uint16) error {
	t.chunk[t.fill] = c
	t.fill++
	if t.fill == outputChunk {
		return t.flush()
	}
	return nil
}

// flush shows the chunk. A glyph that the console does not have is a warning, and no error.
func (t *TextOutput) flush() error {
	if t.fill == 0 {
		return nil
	}
	t.chunk[t.fill] = 0
	t.fill = 0
	return check(abi.Call(t.table.OutputString, t.addr, uintptr(unsafe.Pointer(&t.chunk))))
}

// Reset clears the screen and brings the console to its default mode (UEFI 2.11, 12.4.2).
func (t *TextOutput) Reset(extended bool) error {
	return check(abi.Call(t.table.Reset, t.addr, boolean(extended)))
}

// ClearScreen clears the screen and moves the cursor to its origin (UEFI 2.11, 12.4.8).
func (t *TextOutput) ClearScreen() error { return check(abi.Call(t.table.ClearScreen, t.addr)) }

// SetAttribute sets the colours: foreground in bits 0 to 3, background in bits 4 to 6 (UEFI 2.11,
// 12.4.7).
func (t *TextOutput) SetAttribute(attribute uint8) error {
	return check(abi.Call(t.table.SetAttribute, t.addr, uintptr(attribute)))
}

// EnableCursor shows or hides the cursor (UEFI 2.11, 12.4.10).
func (t *TextOutput) EnableCursor(visible bool) error {
	return check(abi.Call(t.table.EnableCursor, t.addr, boolean(visible)))
}

// SetCursorPosition moves the cursor, counted from 0 (UEFI 2.11, 12.4.9).
func (t *TextOutput) SetCursorPosition(column, row uint) error {
	return check(abi.Call(t.table.SetCursorPosition, t.addr, uintptr(column), uintptr(row)))
}

// Size is the number of columns and rows of the current mode (UEFI 2.11, 12.4.5).
func (t *TextOutput) Size() (columns, rows int, err error) {
	mode := At[TextOutputMode](t.table.Mode)
	if mode == nil || mode.Mode < 0 {
		return 0, 0, Unsupported
	}
	var out struct{ columns, rows uintptr }
	err = check(abi.Call(t.table.QueryMode, t.addr, uintptr(mode.Mode),
		uintptr(unsafe.Pointer(&out.columns)), uintptr(unsafe.Pointer(&out.rows))))
	return int(out.columns), int(out.rows), err
}
