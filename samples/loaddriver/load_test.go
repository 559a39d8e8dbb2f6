package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tamaccid/uefi"
)

// A fake is firmware with one volume, which records calls.
type fake struct {
	t    *testing.T
	fail map[string]error
	log  []string
}

// Handles of the fake.
const (
	self   = uefi.Handle(0x10)
	volume = uefi.Handle(0x20)
	driver = uefi.Handle(0x30)
)

func (f *fake) note(service, format string, args ...any) error {
	f.log = append(f.log, service+" "+fmt.Sprintf(format, args...))
	return f.fail[service]
}

func (f *fake) DevicePathOf(h uefi.Handle) uefi.DevicePath {
	if h != volume || f.fail["path"] != nil {
		return nil
	}
	p, err := uefi.NewDevicePath(uefi.Node{Type: uefi.MessagingNode, SubType: 18,
		Data: make([]byte, 6)})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fake) LoadedImage(image uefi.Handle) (*uefi.LoadedImage, error) {
	if image == driver {
		return &uefi.LoadedImage{}, f.fail["loaded"]
	}
	return &uefi.LoadedImage{DeviceHandle: volume}, nil
}

func (f *fake) LoadImage(
	bootPolicy bool, parent uefi.Handle, path uefi.DevicePath, source []byte,
) (uefi.Handle, error) {
	if bootPolicy || parent != self || source != nil {
		f.t.Errorf("LoadImage(%v, %#x, %v, %d bytes)", bootPolicy, parent, path, len(source))
	}
	err := f.note("load", "%v", path)
	if err != nil && !errors.Is(err, uefi.SecurityViolation) {
		return 0, err
	}
	return driver, err
}

func (f *fake) SetOptionText(l *uefi.LoadedImage, text string) error {
	return f.note("options", "%s", text)
}

func (f *fake) StartImage(h uefi.Handle) (string, error) {
	err := f.note("start", "%#x", h)
	if err != nil {
		return "no entropy", err
	}
	return "", nil
}

func (f *fake) UnloadImage(h uefi.Handle) error { return f.note("unload", "%#x", h) }

func (f *fake) LocateHandleBuffer(
	search uefi.SearchType, guid *uefi.GUID, key uintptr,
) ([]uefi.Handle, error) {
	if search != uefi.AllHandles {
		f.t.Errorf("search %d", search)
	}
	return []uefi.Handle{1, 2}, f.fail["handles"]
}

func (f *fake) ConnectController(h uefi.Handle, drivers []uefi.Handle, recursive bool) error {
	if drivers != nil || !recursive {
		f.t.Errorf("ConnectController(%#x, %v, %v)", h, drivers, recursive)
	}
	return f.note("connect", "%#x", h)
}

func TestLoad(t *testing.T) {
	const volumeText = "Sata(0x0,0x0,0x0)/"
	for _, c := range []struct {
		name  string
		words []string
		fail  map[string]error
		want  string // the recorded calls
		err   error
	}{
		{name: "a driver with options", words: []string{"Driver.efi", "usb=direct", "x"},
			want: "load " + volumeText +
				`\Driver.efi, options usb=direct x, start 0x30, connect 0x1, connect 0x2`},
		{name: "a driver without options, in a folder", words: []string{`efi/boot\Driver.efi`},
			want: "load " + volumeText +
				`\efi\boot\Driver.efi, start 0x30, connect 0x1, connect 0x2`},
		{name: "a name from the root directory", words: []string{`\Driver.efi`},
			want: "load " + volumeText + `\Driver.efi, start 0x30, connect 0x1, connect 0x2`},
		{name: "handles without a driver", words: []string{"Driver.efi"},
			fail: map[string]error{"connect": uefi.NotFound},
			want: "load " + volumeText + `\Driver.efi, start 0x30, connect 0x1, connect 0x2`},
		{name: "nothing to load", err: errUsage},
		{name: "a program without a volume", words: []string{"Driver.efi"},
			fail: map[string]error{"path": uefi.NotFound},
			err:  uefi.ErrDevicePath},
		{name: "a missing file", words: []string{"Driver.efi"},
			fail: map[string]error{"load": uefi.NotFound},
			want: "load " + volumeText + `\Driver.efi`, err: uefi.NotFound},
		{name: "a driver that Secure Boot refuses", words: []string{"Driver.efi"},
			fail: map[string]error{"load": uefi.SecurityViolation},
			want: "load " + volumeText + `\Driver.efi, unload 0x30`, err: uefi.SecurityViolation},
		{name: "an image without its protocol", words: []string{"Driver.efi"},
			fail: map[string]error{"loaded": uefi.Unsupported},
			want: "load " + volumeText + `\Driver.efi, unload 0x30`, err: uefi.Unsupported},
		{name: "no memory for options", words: []string{"Driver.efi", "a"},
			fail: map[string]error{"options": uefi.OutOfResources},
			want: "load " + volumeText + `\Driver.efi, options a, unload 0x30`,
			err:  uefi.OutOfResources},
		{name: "a driver that does not start", words: []string{"Driver.efi"},
			fail: map[string]error{"start": uefi.DeviceError},
			want: "load " + volumeText + `\Driver.efi, start 0x30`, err: uefi.DeviceError},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{t: t, fail: c.fail}
			var out strings.Builder
			err := load(f, self, c.words, &out)
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if got := strings.Join(f.log, ", "); got != c.want {
				t.Errorf("calls: %s\nwant:  %s", got, c.want)
			}
			if loaded := strings.Contains(out.String(), "is loaded"); loaded != (c.err == nil) {
				t.Errorf("output %q", &out)
			}
		})
	}
}
