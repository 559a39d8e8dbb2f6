//go:build !tamago

package usbio

import (
	"fmt"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// answer is what firmware answers to one transfer. Without took it answers at once; took all is as long as it was given.
type answer struct {
	data   []byte
	length int // what firmware claims, if not len(data)
	result uefi.USBResult
	status uefi.Status
	took   time.Duration
}

const all = time.Duration(-1)

// silentFor is firmware's answer for a device that has nothing to say.
var silent = answer{status: uefi.Timeout, result: uefi.USBTimeout, took: all}

// fake is firmware with one device, seen through EFI_USB_IO_PROTOCOL. Transfers are answered from lists and written down;
// a transfer that nobody expected fails the test.
type fake struct {
	t     *testing.T
	table *uefi.USBIOTable

	device    [18]byte
	active    [9]byte
	setting   [9]byte
	endpoints [][7]byte
	languages []uint16
	strings   map[uint8]string // in the last language
	keep      [][]uint16

	stringTime time.Duration // that firmware takes for a string
	configTime time.Duration // that the device takes for a configuration

	configs [][]byte // by index
	reads   []int    // of configurations: how many bytes each
	streams []answer
	control func(r uefi.USBRequest, data []byte) answer // for what is not a configuration descriptor
	log     []string

	path  uefi.DevicePath
	pause func() (stop bool)
	// settings are other settings than setting and endpoints, by bAlternateSetting. obeys: firmware
	// follows SET_INTERFACE.
	settings map[uint8]alternate
	obeys    bool
	choose   func(config []byte, number uint8) (alt uint8, ok bool)
}

// alternate is an interface in an alternate setting.
type alternate struct {
	setting   [9]byte
	endpoints [][7]byte
}

// reader is a CCID reader at full speed, on port 2 of a root hub.
func reader(t *testing.T) *fake {
	f := &fake{t: t,
		device:    [18]byte{18, 1, 0x10, 0x01, 0, 0, 0, 64, 0x27, 0x06, 0x01, 0x40, 0, 1, 1, 2, 3, 1},
		active:    [9]byte{9, 2, 93, 0, 1, 1, 0, 0x80, 50},
		setting:   [9]byte{9, 4, 0, 0, 3, 0x0b, 0, 0, 4},
		endpoints: [][7]byte{{7, 5, 0x81, 3, 16, 0, 255}, {7, 5, 0x82, 2, 64, 0, 0}, {7, 5, 0x03, 2, 64, 0, 0}},
		languages: []uint16{0x0409},
		strings:   map[uint8]string{1: "QEMU", 2: "Reader", 3: "1", 4: "CCID"},
	}
	config := append([]byte(nil), f.active[:]...)
	config = append(config, f.setting[:]...)
	config = append(config, make([]byte, 54)...)
	config[18], config[19] = 54, 0x21
	for _, e := range f.endpoints {
		config = append(config, e[:]...)
	}
	f.configs = [][]byte{config}
	f.path = path(t, uefi.Node{Type: 2, SubType: 1, Data: make([]byte, 8)}, uefi.Node{Type: 1, SubType: 1, Data: []byte{0, 4}},
		uefi.Node{Type: 3, SubType: 5, Data: []byte{1, 0}})
	f.publish()
	return f
}

func path(t *testing.T, nodes ...uefi.Node) uefi.DevicePath {
	p, err := uefi.NewDevicePath(nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fake) DevicePathOf(uefi.Handle) uefi.DevicePath { return f.path }

// give lets time pass, stores what was answered and returns the status.
func (f *fake) give(a answer, milliseconds uintptr, length *uintptr, data []byte, result *uefi.USBResult) uintptr {
	if milliseconds == 0 {
		f.t.Error("a transfer without a time limit")
	}
	switch {
	case a.took == all:
		time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	default:
		time.Sleep(a.took)
	}
	n := copy(data, a.data)
	if a.length != 0 {
		n = a.length
	}
	if length != nil {
		if a.data != nil || a.status.IsError() || a.length != 0 {
			*length = uintptr(n)
		}
	}
	*result = a.result
	return uintptr(a.status)
}

func (f *fake) publish() {
	stream := func(kind string) uintptr {
		return abi.Fake(func(a []uintptr) uintptr {
			length := abi.At[uintptr](a[3])
			f.log = append(f.log, fmt.Sprintf("%s %02x %d in %d ms", kind, a[1], *length, a[4]))
			if len(f.streams) == 0 {
				f.t.Errorf("unexpected %s", f.log[len(f.log)-1])
				return uintptr(uefi.Aborted)
			}
			next := f.streams[0]
			f.streams = f.streams[1:]
			return f.give(next, a[4], length, unsafe.Slice(abi.At[byte](a[2]), *length), abi.At[uefi.USBResult](a[5]))
		})
	}
	descriptor := func(from func() []byte) uintptr {
		return abi.Fake(func(a []uintptr) uintptr {
			d := from()
			copy(unsafe.Slice(abi.At[byte](a[1]), len(d)), d)
			return uintptr(uefi.Success)
		})
	}
	f.table = &uefi.USBIOTable{
		ControlTransfer:        abi.Fake(f.controlTransfer),
		BulkTransfer:           stream("bulk"),
		SyncInterruptTransfer:  stream("interrupt"),
		GetDeviceDescriptor:    descriptor(func() []byte { return f.device[:] }),
		GetConfigDescriptor:    descriptor(func() []byte { return f.active[:] }),
		GetInterfaceDescriptor: descriptor(func() []byte { return f.setting[:] }),
		GetEndpointDescriptor: abi.Fake(func(a []uintptr) uintptr {
			if a[1] >= uintptr(len(f.endpoints)) {
				return uintptr(uefi.NotFound)
			}
			*abi.At[[7]byte](a[2]) = f.endpoints[a[1]]
			return uintptr(uefi.Success)
		}),
		GetStringDescriptor: abi.Fake(func(a []uintptr) uintptr {
			time.Sleep(f.stringTime)
			s, ok := f.strings[uint8(a[2])]
			if !ok || len(f.languages) == 0 || uint16(a[1]) != f.languages[len(f.languages)-1] {
				return uintptr(uefi.NotFound)
			}
			wide := append(utf16.Encode([]rune(s)), 0)
			f.keep = append(f.keep, wide)
			*abi.At[*uint16](a[3]) = &wide[0]
			return uintptr(uefi.Success)
		}),
		GetSupportedLanguages: abi.Fake(func(a []uintptr) uintptr {
			*abi.At[*uint16](a[1]) = unsafe.SliceData(f.languages)
			*abi.At[uint16](a[2]) = uint16(2 * len(f.languages))
			return uintptr(uefi.Success)
		}),
	}
}

func (f *fake) controlTransfer(a []uintptr) uintptr {
	r := *abi.At[uefi.USBRequest](a[1])
	data := unsafe.Slice(abi.At[byte](a[4]), a[5])
	direction := uefi.USBDirection(a[2])
	if int(r.Length) != len(data) || (direction == uefi.USBNoData) != (len(data) == 0) || len(data) == 0 && a[4] != 0 ||
		len(data) > 0 && (direction == uefi.USBDataIn) != (r.RequestType&0x80 != 0) {
		f.t.Errorf("request %+v with direction %d and %d bytes", r, direction, len(data))
	}
	result := abi.At[uefi.USBResult](a[6])
	if r.RequestType == 0x80 && r.Request == 6 && r.Value>>8 == 2 {
		if int(r.Value&0xff) >= len(f.configs) {
			return f.give(answer{status: uefi.DeviceError, result: uefi.USBStall}, a[3], nil, data, result)
		}
		f.reads = append(f.reads, len(data))
		got := answer{data: f.configs[r.Value&0xff], took: f.configTime}
		if f.configTime > time.Duration(a[3])*time.Millisecond {
			got = silent
		}
		if got.data != nil && len(got.data) < len(data) {
			got.status = uefi.DeviceError // as common firmware does
		}
		return f.give(got, a[3], nil, data, result)
	}
	if s, ok := f.settings[uint8(r.Value)]; f.obeys && ok && r.RequestType == 0x01 && r.Request == 11 {
		f.setting, f.endpoints = s.setting, s.endpoints
	}
	f.log = append(f.log, fmt.Sprintf("control %02x %02x %04x %04x %d in %d ms", r.RequestType, r.Request, r.Value, r.Index, r.Length, a[3]))
	if f.control == nil {
		f.t.Errorf("unexpected %s", f.log[len(f.log)-1])
		return uintptr(uefi.Aborted)
	}
	return f.give(f.control(r, data), a[3], nil, data, result)
}

// open makes the transport and forgets what that took.
func (f *fake) open() *Transport {
	f.t.Helper()
	tr, err := open(bg, f, 1, uintptr(unsafe.Pointer(f.table)), Options{Pause: f.pause, Setting: f.choose})
	if err != nil {
		f.t.Fatal(err)
	}
	f.log = nil
	return tr
}
