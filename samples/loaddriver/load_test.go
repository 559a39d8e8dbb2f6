//go:build !tamago

package main

import (
	"errors"
	"strings"
	"testing"

	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

func TestLoad(t *testing.T) {
	const volumeText = "load Sata(0x0,0x0,0x0)/"
	const each = "connect [], recursive: true"
	const connected = each + ", " + each + ", " + each // volume, program and driver
	for _, c := range []struct {
		name   string
		words  []string
		refuse string // the service that fails with err
		noPath bool   // the volume has no device path
		want   string // the calls of firmware
		err    error
	}{
		{name: "a driver with options", words: []string{"Driver.efi", "usb=direct", "x"},
			want: volumeText + `\Driver.efi, boot policy: false, start with "usb=direct x", ` +
				connected},
		{name: "a driver without options, in a folder", words: []string{`efi/boot\Driver.efi`},
			want: volumeText + `\efi\boot\Driver.efi, boot policy: false, start with "", ` +
				connected},
		{name: "a name from the root directory", words: []string{`\Driver.efi`},
			want: volumeText + `\Driver.efi, boot policy: false, start with "", ` + connected},
		{name: "handles without a driver", words: []string{"Driver.efi"}, refuse: "connect",
			want: volumeText + `\Driver.efi, boot policy: false, start with "", ` + connected},
		{name: "nothing to load", err: errUsage},
		{name: "a program without a volume", words: []string{"Driver.efi"}, noPath: true,
			err: uefi.ErrDevicePath},
		{name: "a missing file", words: []string{"Driver.efi"}, refuse: "load image",
			want: volumeText + `\Driver.efi, boot policy: false`, err: uefi.NotFound},
		{name: "a driver that Secure Boot refuses", words: []string{"Driver.efi"},
			refuse: "load image",
			want:   volumeText + `\Driver.efi, boot policy: false, unload`,
			err:    uefi.SecurityViolation},
		{name: "an image without its protocol", words: []string{"Driver.efi"},
			refuse: "loaded image",
			want:   volumeText + `\Driver.efi, boot policy: false, unload`, err: uefi.Unsupported},
		{name: "no memory for options", words: []string{"Driver.efi", strings.Repeat("a", 64<<10)},
			want: volumeText + `\Driver.efi, boot policy: false, unload`, err: uefi.BadBufferSize},
		{name: "a driver that does not start", words: []string{"Driver.efi"}, refuse: "start image",
			want: volumeText + `\Driver.efi, boot policy: false, start with ""`,
			err:  uefi.DeviceError},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw := uefitest.New(t)
			volume := fw.NewHandle(map[uefi.GUID]uintptr{})
			self, _ := fw.NewImage(volume)
			path, err := uefi.NewDevicePath(
				uefi.Node{Type: uefi.MessagingNode, SubType: 18, Data: make([]byte, 6)})
			if err != nil {
				t.Fatal(err)
			}
			if !c.noPath {
				fw.SetPath(volume, path)
			}
			var status uefi.Status
			if !errors.As(c.err, &status) {
				status = uefi.NotFound
			}
			fw.Refuse = func(service string, h uefi.Handle, guid uefi.GUID) uefi.Status {
				if service == "handle protocol" && guid == uefi.LoadedImageGUID && h != self {
					service = "loaded image"
				}
				if service == c.refuse {
					return status
				}
				return uefi.Success
			}
			var out strings.Builder
			err = load(self, c.words, &out)
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if got := strings.Join(fw.Log, ", "); got != c.want {
				t.Errorf("calls: %s\nwant:  %s", got, c.want)
			}
			if loaded := strings.Contains(out.String(), "is loaded"); loaded != (c.err == nil) {
				t.Errorf("output %q", &out)
			}
		})
	}
}
