//go:build !tamago

package driver

import (
	"strings"
	"testing"

	"tamaccid/uefi"
)

// text is a string of a program in C.
func text(t *testing.T, s string) uintptr {
	b := newBuffer(t, len(s)+1)
	copy(b.bytes(), s+"\x00")
	return b.at()
}

// maxText bounds what the tests read of a name, in CHAR16.
const maxText = 200

func TestDriverName(t *testing.T) {
	d := &Driver{}
	d.newNames()
	for _, c := range []struct {
		name     string
		language string
		null     bool // no language
		nowhere  bool // no place for the name
		want     uefi.Status
	}{
		{name: "English", language: "en"},
		{name: "English, as firmware may spell it", language: "EN"},
		{name: "American English", language: "en-US"},
		{name: "another language", language: "fr", want: uefi.Unsupported},
		{name: "English of the older protocol", language: "eng", want: uefi.Unsupported},
		{name: "a language that English begins", language: "enochian", want: uefi.Unsupported},
		{name: "half a language", language: "e", want: uefi.Unsupported},
		{name: "an empty language", language: "", want: uefi.Unsupported},
		{name: "a very long language", language: strings.Repeat("e", 100*maxLanguage),
			want: uefi.Unsupported},
		{name: "no language", null: true, want: uefi.InvalidParameter},
		{name: "no place for the name", language: "en", nowhere: true, want: uefi.InvalidParameter},
		{name: "neither", null: true, nowhere: true, want: uefi.InvalidParameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := place(t, uintptr(0))
			language, at := text(t, c.language), addr(out)
			if c.null {
				language = 0
			}
			if c.nowhere {
				at = 0
			}
			if st := call(d.driverName, 0, language, at); st != c.want {
				t.Fatalf("status %v, want %v", st, c.want)
			}
			want := ""
			if c.want == uefi.Success {
				want = driverName
			}
			if got := uefi.StringAt(*out, maxText); got != want {
				t.Errorf("name %q, want %q", got, want)
			}
		})
	}
}

func TestLanguagesAreEnglish(t *testing.T) {
	d := &Driver{}
	if got := uefi.ASCIIAt(d.newNames().SupportedLanguages, maxText); got != "en" {
		t.Errorf("languages %q", got)
	}
}

func TestControllerName(t *testing.T) {
	_, d, u := started(t, 2)
	child := d.slots(u.Handle)[1]
	english := text(t, "en")
	for _, c := range []struct {
		name              string
		controller, child uefi.Handle
		language          uintptr
		nowhere           bool
		want              uefi.Status
		text              string
	}{
		{name: "a controller", controller: u.Handle, language: english,
			text: "tamaccid Virtual Reader 0"},
		{name: "a child", controller: u.Handle, child: child, language: english,
			text: "tamaccid Virtual Reader 0, 1"},
		{name: "a controller that the driver does not manage", controller: 0xBAD, language: english,
			want: uefi.Unsupported},
		{name: "the driver itself", controller: ourImage, language: english,
			want: uefi.Unsupported},
		{name: "a child as the controller", controller: child, language: english,
			want: uefi.Unsupported},
		{name: "a child of another controller", controller: u.Handle, child: 0xBAD,
			language: english, want: uefi.Unsupported},
		{name: "another language", controller: u.Handle, language: text(t, "de"),
			want: uefi.Unsupported},
		{name: "no controller", child: child, language: english, want: uefi.InvalidParameter},
		{name: "no language", controller: u.Handle, want: uefi.InvalidParameter},
		{name: "no place for the name", controller: u.Handle, language: english, nowhere: true,
			want: uefi.InvalidParameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := place(t, uintptr(0))
			at := addr(out)
			if c.nowhere {
				at = 0
			}
			if st := call(d.controllerName, 0, uintptr(c.controller), uintptr(c.child), c.language,
				at); st != c.want {
				t.Fatalf("status %v, want %v", st, c.want)
			}
			if got := uefi.StringAt(*out, maxText); got != c.text {
				t.Errorf("name %q, want %q", got, c.text)
			}
		})
	}
	for _, h := range []uefi.Handle{child, 0} {
		var children []uefi.Handle
		if h != 0 {
			children = []uefi.Handle{h}
		}
		must(t, d.stopOn(u.Handle, children...))
		out := place(t, uintptr(0))
		if st := call(d.controllerName, 0, uintptr(u.Handle), uintptr(h), english,
			addr(out)); st != uefi.Unsupported || *out != 0 {
			t.Errorf("handle %#x after Stop: %v", h, st)
		}
	}
}
