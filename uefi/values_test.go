package uefi

import (
	"errors"
	"testing"
	"time"
	"unsafe"
)

func TestStatusText(t *testing.T) {
	for _, c := range []struct {
		status  Status
		text    string
		isError bool
	}{
		{0, "EFI_SUCCESS", false},
		{0x8000000000000001, "EFI_LOAD_ERROR", true},
		{0x8000000000000005, "EFI_BUFFER_TOO_SMALL", true},
		{0x8000000000000007, "EFI_DEVICE_ERROR", true},
		{0x800000000000000e, "EFI_NOT_FOUND", true},
		{0x800000000000000f, "EFI_ACCESS_DENIED", true},
		{0x8000000000000012, "EFI_TIMEOUT", true},
		{0x8000000000000018, "EFI_PROTOCOL_ERROR", true},
		{0x800000000000001c, "EFI_END_OF_MEDIA", true},
		{0x800000000000001d, "EFI_STATUS 0x800000000000001D", true}, // 29 and 30 have no name
		{0x800000000000001f, "EFI_END_OF_FILE", true},
		{0x8000000000000023, "EFI_HTTP_ERROR", true},
		{0x8000000000000024, "EFI_STATUS 0x8000000000000024", true},
		{0xffffffffffffffff, "EFI_STATUS 0xFFFFFFFFFFFFFFFF", true},
		{0x8000000000000000, "EFI_STATUS 0x8000000000000000", true},
		{7, "EFI_WARN_RESET_REQUIRED", false},
		{8, "EFI_STATUS 0x8", false},
	} {
		if got := c.status.Error(); got != c.text {
			t.Errorf("%#x: %q, want %q", uintptr(c.status), got, c.text)
		}
		if err := c.status.Err(); (err != nil) != c.isError || c.isError &&
			!errors.Is(err, c.status) {
			t.Errorf("%s: Err is %v", c.text, err)
		}
	}
	// The numbers of UEFI 2.11, appendix D.
	if InvalidLanguage&^errorBit != 32 || WarnStaleData != 5 || Aborted&^errorBit != 21 ||
		CompromisedData&^errorBit != 33 {
		t.Error("a status has a wrong number")
	}
}

func TestGUID(t *testing.T) {
	const text = "2a4d1adf-21dc-4b81-a42f-8b8ee2380060"
	g, err := ParseGUID("2A4D1ADF-21dc-4B81-A42F-8B8EE2380060")
	if err != nil || g.String() != text {
		t.Fatalf("%v, %v", g, err)
	}
	// In memory the first three fields are little-endian (UEFI 2.11, appendix A).
	want := [16]byte{0xdf, 0x1a, 0x4d, 0x2a, 0xdc, 0x21, 0x81, 0x4b, 0xa4, 0x2f, 0x8b, 0x8e, 0xe2,
		0x38, 0x00, 0x60}
	if got := *(*[16]byte)(unsafe.Pointer(&g)); got != want {
		t.Errorf("% x, want % x", got, want)
	}
	for _, bad := range []string{"", text + "0", text[1:], "{" + text[1:],
		"2a4d1adf021dc-4b81-a42f-8b8ee2380060", "2a4d1adf-21dc-4b81-a42f-8b8ee238006g",
		"2a4d1adf-21dc-4b81-a42f-8b8ee238-060"} {
		if g, err := ParseGUID(bad); err == nil || g != (GUID{}) {
			t.Errorf("%q is %v", bad, g)
		}
	}
}

func TestMustGUIDPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bad GUID passes")
		}
	}()
	MustGUID("no")
}

func TestUTF16(t *testing.T) {
	for _, c := range []struct {
		text string
		wide []uint16
	}{
		{"", []uint16{0}},
		{"aé€", []uint16{'a', 0xe9, 0x20ac, 0}},
		{"\U0001f511", []uint16{0xd83d, 0xdd11, 0}},
	} {
		got := UTF16(c.text)
		if string(bytesOf(got)) != string(bytesOf(c.wide)) {
			t.Errorf("UTF16(%q) = %x", c.text, got)
		}
		if back := FromUTF16(got); back != c.text {
			t.Errorf("%q comes back as %q", c.text, back)
		}
		if at := StringAt(address(&got[0]), 100); at != c.text {
			t.Errorf("%q is read as %q", c.text, at)
		}
	}
	if got := FromUTF16([]uint16{'a', 0xd800, 'b'}); got != "a\ufffdb" {
		t.Errorf("half a pair: %q", got)
	}
	if got := FromUTF16(UTF16("cut\x00off")); got != "cut" {
		t.Errorf("text behind a NUL: %q", got)
	}
	endless := []uint16{'a', 'b', 'c', 'd'}
	if got := StringAt(address(&endless[0]), 3); got != "abc" {
		t.Errorf("a string without an end: %q", got)
	}
	if StringAt(0, 10) != "" || StringAt(address(&endless[0])+1, 1) != "" {
		t.Error("a null or odd address has text")
	}
}

// kept holds what tests pass by address: such an object must be on the heap, where it does not
// move.
var kept []any

// address is where v is, for as long as the tests run.
func address[T any](v *T) uintptr {
	kept = append(kept, v)
	return uintptr(unsafe.Pointer(v))
}

func bytesOf(w []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), 2*len(w))
}

func TestASCIIAt(t *testing.T) {
	text := []byte("en-US\x00x")
	addr := address(&text[0])
	if ASCIIAt(addr, 100) != "en-US" || ASCIIAt(addr, 2) != "en" || ASCIIAt(0, 1) != "" {
		t.Error(ASCIIAt(addr, 100))
	}
}

func TestLanguageMatches(t *testing.T) {
	for _, c := range []struct {
		want, supported string
		match           bool
	}{
		{"en", "en", true}, {"en-US", "en", true}, {"en", "en-US", true}, {"EN-us", "en", true},
		{"eng", "en", false}, {"fr", "en", false}, {"", "en", false}, {"e", "en", false}, {"en", "",
			false}, {"en-US", "en-GB", false},
	} {
		if LanguageMatches(c.want, c.supported) != c.match {
			t.Errorf("%q and %q: %v", c.want, c.supported, !c.match)
		}
	}
}

func TestTime(t *testing.T) {
	good := Time{Year: 2026, Month: 2, Day: 28, Hour: 23, Minute: 59, Second: 58, Nanosecond: 7,
		TimeZone: UnspecifiedTimeZone}
	if got, ok := good.Go(); !ok || !got.Equal(time.Date(2026, 2, 28, 23, 59, 58, 7, time.UTC)) {
		t.Errorf("%v, %v", got, ok)
	}
	west := good
	west.TimeZone = 480 // Pacific: UTC is eight hours later
	if got, ok := west.Go(); !ok || !got.Equal(time.Date(2026, 3, 1, 7, 59, 58, 7, time.UTC)) {
		t.Errorf("%v, %v", got, ok)
	}
	for name, change := range map[string]func(t *Time){
		"no month": func(t *Time) {
			t.Month = 0
		}, "month 13": func(t *Time) { t.Month = 13 }, "no day": func(t *Time) { t.Day = 0 },
		"day 32": func(t *Time) {
			t.Day = 32
		}, "hour 24": func(t *Time) { t.Hour = 24 }, "minute 60": func(t *Time) { t.Minute = 60 },
		"second 60": func(t *Time) {
			t.Second = 60
		}, "a billion nanoseconds": func(t *Time) { t.Nanosecond = 1e9 },
		"year 1899": func(t *Time) {
			t.Year = 1899
		}, "zone of 25 hours": func(t *Time) { t.TimeZone = 1500 },
	} {
		bad := good
		change(&bad)
		if got, ok := bad.Go(); ok {
			t.Errorf("%s is %v", name, got)
		}
	}
}
