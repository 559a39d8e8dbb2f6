//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

var testFirmware = Firmware{Code: "/firmware/code.fd", Vars: "/firmware/vars.fd"}

func noCard(context.Context, io.ReadWriteCloser) error { return nil }

func TestConfigRefusesWhatCannotWork(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"a card without a reader", Config{Card: noCard}, "card without a reader"},
		{"a full-speed reader on a high-speed controller", Config{Reader: true, Controller: EHCI},
			"usb-ehci"},
		{"negative memory", Config{Memory: -1}, "negative"},
		{"an unknown architecture", Config{Arch: "vax"}, "it is one of amd64"},
		{"a volume whose path has a colon", Config{Volume: "/tmp/a:b"}, "colon"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.config.Firmware = testFirmware
			_, err := test.config.complete()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
}

func TestConfigArguments(t *testing.T) {
	f := files{vars: "/run/vars.fd", card: "/run/card", dir: "/run", monitor: 3}
	tests := []struct {
		name    string
		config  Config
		want    []string // each is a whole argument
		without []string // no argument contains these
	}{
		{
			name: "the zero value has no network, no volume, no reader",
			want: []string{"q35", "tcg,thread=multi", "256", "none", "-no-reboot",
				"qemu-xhci,id=usb"},
			without: []string{"fat:", "usb-ccid", "ccid-card-passthru", "debugcon"},
		},
		{
			name:    "a reader without a card",
			config:  Config{Reader: true},
			want:    []string{"usb-ccid,id=reader,bus=usb.0"},
			without: []string{"ccid-card-passthru", "id=cardsocket"},
		},
		{
			name:   "a reader with a card, on another controller, captured",
			config: Config{Reader: true, Card: noCard, Controller: UHCI, Capture: "/tmp/a,b.pcap"},
			want: []string{"piix3-usb-uhci,id=usb",
				"usb-ccid,id=reader,bus=usb.0,pcap=/tmp/a,,b.pcap",
				"socket,id=cardsocket,path=/run/card",
				"ccid-card-passthru,id=card,bus=reader.0,chardev=cardsocket"},
		},
		{
			name:   "a volume with a comma in its path",
			config: Config{Volume: "/srv/a,b"},
			want:   []string{"if=none,id=volume,format=raw,snapshot=on,file=fat:/srv/a,,b"},
		},
		{
			name:   "more memory, and the caller's arguments at the end",
			config: Config{Memory: 1024, Args: []string{"-device", "usb-kbd"}},
			want:   []string{"1024", "usb-kbd"},
		},
		{
			name: "redirected devices, one behind two hubs",
			config: Config{Hubs: []string{"3", "3.1"}, Redirected: []Redirected{
				{ID: "a", Port: "3.1.2", Serve: noCard}, {ID: "b", Bus: "other.0", Serve: noCard}}},
			want: []string{"usb-hub,id=hub3,bus=usb.0,port=3",
				"usb-hub,id=hub3.1,bus=usb.0,port=3.1",
				"socket,id=link-a,path=/run/a",
				"usb-redir,id=a,chardev=link-a,bus=usb.0,port=3.1.2",
				"socket,id=link-b,path=/run/b", "usb-redir,id=b,chardev=link-b,bus=other.0"},
		},
		{
			name:   "a kernel instead of firmware",
			config: Config{Kernel: "/build/a,b", CommandLine: "-quick,x Reader 0"},
			want: []string{"/build/a,b", "-quick,x Reader 0",
				"isa-debug-exit,iobase=0xf4,iosize=0x04"},
			without: []string{"pflash"},
		},
		{
			name:   "the firmware's debug output",
			config: Config{DebugLog: "/tmp/ovmf.log"},
			want:   []string{"file:/tmp/ovmf.log", "isa-debugcon.iobase=0x402"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.config.Firmware = testFirmware
			config, err := test.config.complete()
			if err != nil {
				t.Fatal(err)
			}
			args := config.arguments(f)
			for _, want := range test.want {
				if !slices.Contains(args, want) {
					t.Errorf("no argument %q in %q", want, args)
				}
			}
			for _, without := range test.without {
				if line := strings.Join(args, " "); strings.Contains(line, without) {
					t.Errorf("%q in %q", without, line)
				}
			}
		})
	}
}

func TestFindFirmware(t *testing.T) {
	list := []Firmware{{Code: "/a/code", Vars: "/a/vars"}, {Code: "/b/code", Vars: "/b/vars"}}
	p := platform{firmwarePackage: "ovmf", firmwares: list}
	tests := []struct {
		name  string
		there []string
		want  Firmware
		err   error
	}{
		{"the first complete one is taken", []string{"/a/code", "/a/vars", "/b/code", "/b/vars"},
			list[0], nil},
		{"code without variables does not count", []string{"/a/code", "/b/code", "/b/vars"},
			list[1], nil},
		{"none installed", nil, Firmware{}, ErrMissing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := p.findFirmware(func(path string) bool {
				return slices.Contains(test.there,
					path)
			})
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("%v, %v; want %v, %v", got, err, test.want, test.err)
			}
			if err != nil && !strings.Contains(err.Error(), "package is ovmf") {
				t.Errorf("error %q does not name the package", err)
			}
		})
	}
}
