//go:build linux && !tamago

package linux

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOrder(t *testing.T) {
	all := modules{
		"xhci-pci":   {depends: []string{"xhci-hcd", "usbcore"}},
		"xhci-hcd":   {depends: []string{"usbcore"}},
		"usbcore":    {depends: []string{"usb-common", "built-in"}},
		"usb-common": {}, "unrelated": {},
		"snake": {depends: []string{"tail"}}, "tail": {depends: []string{"snake"}},
	}
	tests := []struct {
		name, of string
		want     []string
	}{
		{"a module comes behind all that it needs", "xhci-pci",
			[]string{"usb-common", "usbcore", "xhci-hcd", "xhci-pci"}},
		{"one that needs nothing comes alone", "usb-common", []string{"usb-common"}},
		{"a circle ends", "snake", []string{"tail", "snake"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := all.order(test.of); err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%v, %v; want %v", got, err, test.want)
			}
		})
	}
	if _, err := all.order("ehci-pci"); !errors.Is(err, errModule) {
		t.Errorf("a module that is not there: %v", err)
	}
}

func TestOnlyModulesDescribeTheirNeeds(t *testing.T) {
	if _, err := depends([]byte("text")); err == nil {
		t.Error("a text was taken for a module")
	}
	program, err := os.ReadFile("/proc/self/exe") // an ELF file, and no module
	if err != nil {
		t.Fatal(err)
	}
	if _, err := depends(program); !errors.Is(err, errModule) {
		t.Errorf("a program: %v", err)
	}
}

func TestArchive(t *testing.T) {
	var a archive
	a.add("dev", modeFolder, nil)
	a.add("init", modeProgram, []byte("hello"))
	want := strings.Join([]string{
		"070701", "00000001", "000041ED", "00000000", "00000000", "00000001", "00000000",
		"00000000",
		"00000000", "00000000", "00000000", "00000000", "00000004", "00000000", "dev\x00\x00\x00",
		"070701", "00000002", "000081ED", "00000000", "00000000", "00000001", "00000000",
		"00000005",
		"00000000", "00000000", "00000000", "00000000", "00000005", "00000000", "init\x00\x00",
		"hello\x00\x00\x00",
		"070701", "00000000", "00000000", "00000000", "00000000", "00000001", "00000000",
		"00000000",
		"00000000", "00000000", "00000000", "00000000", "0000000B", "00000000",
		"TRAILER!!!\x00\x00\x00\x00",
	}, "")
	if got := a.end(); !bytes.Equal(got, []byte(want)) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestCommandLine(t *testing.T) {
	const plain = `vmlinuz.efi console=ttyS0 loglevel=4 panic=-1 initrd=\disk`
	if got := CommandLine("disk"); got != plain {
		t.Errorf("%q", got)
	}
	if got := CommandLine("disk", "08e6:4433",
		"1209:0001"); got != plain+" -- 08e6:4433 1209:0001" {
		t.Errorf("%q", got)
	}
}
