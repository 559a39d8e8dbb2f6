//go:build linux && !tamago

package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness/cmd/internal/program"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		program string
		card    string
		err     error
	}{
		{"no arguments: helloworld and a card at T=0", nil, "helloworld.efi", "t0", nil},
		{"no card", []string{"-card", "none"}, "helloworld.efi", "none", nil},
		{"another program with arguments", []string{"-card=t1", "cabi.efi", "apdus", "10"},
			"cabi.efi apdus 10", "t1", nil},
		{"a kernel", []string{"-board", "q35"}, "helloworld", "t0", nil},
		{"a kernel with arguments", []string{"-board=q35", "exchange", "-quick"}, "exchange -quick",
			"t0", nil},
		{"an unknown board", []string{"-board", "pc"}, "", "", program.ErrUsage},
		{"a way to USB", []string{"-usb", "direct"}, "helloworld.efi", "t0", nil},
		{"an unknown way to USB", []string{"-usb", "nonsense"}, "", "", program.ErrUsage},
		{"a way to USB without firmware", []string{"-board", "q35", "-usb", "direct"}, "", "",
			program.ErrUsage},
		{"a controller with options", []string{"-controller", "nec-usb-xhci,p2=1"},
			"helloworld.efi", "t0", nil},
		{"a controller that the reader cannot be plugged into", []string{"-controller", "usb-ehci"},
			"", "", program.ErrUsage},
		{"help", []string{"-h"}, "", "", flag.ErrHelp},
		{"an unknown flag", []string{"-speed"}, "", "", program.ErrUsage},
		{"no time at all", []string{"-limit", "0s"}, "", "", program.ErrUsage},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.args, io.Discard)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && (s.program != test.program || s.card != test.card) {
				t.Errorf("program %q, card %q", s.program, s.card)
			}
		})
	}
}

func TestRunRefusesEarly(t *testing.T) {
	dir, built := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(built, "d.efi"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		s    settings
		want string
	}{
		{"an unknown card", settings{card: "golden"}, "golden"},
		{"images that are not built",
			settings{card: "none", folder: dir, driver: "d.efi", program: "p.efi"}, "make efi"},
		{"a loader that is not built", settings{card: "none", folder: built, driver: "d.efi",
			program: "d.efi", usb: "direct"}, "loaddriver.efi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.s.limit, test.s.log = time.Minute, filepath.Join(dir, "run.log")
			err := run(t.Context(), test.s, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not mention %q", err, test.want)
			}
		})
	}
}
