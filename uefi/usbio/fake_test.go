//go:build !tamago

package usbio

import (
	"context"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

type answer = uefitest.Answer

// script is a device whose answers a test writes down. A transfer that is not expected fails the
// test.
type script struct {
	*uefitest.USB
	t *testing.T

	strings map[uint8]string // in the last language

	stringTime time.Duration // that firmware takes for a string
	configTime time.Duration // that the device takes for a configuration

	configs [][]byte // by index
	reads   []int    // of configurations: how many bytes each
	streams []answer
	control func(r uefi.USBRequest, data []byte) answer // for what is no configuration descriptor

	pause func() (stop bool)
	// settings are settings beside the current one, by bAlternateSetting. obeys: firmware follows
	// SET_INTERFACE.
	settings map[uint8]alternate
	obeys    bool
	choose   func(config []byte, number uint8) (alt uint8, ok bool)
}

// alternate is an interface in an alternate setting.
type alternate struct {
	setting   []byte
	endpoints [][]byte
}

// reader is a CCID reader at full speed, on port 2 of a root hub.
func reader(t *testing.T) *script {
	s := &script{t: t, strings: map[uint8]string{1: "QEMU", 2: "Reader", 3: "1", 4: "CCID"}}
	s.USB = uefitest.New(t).PlugUSB(s)
	s.Device = []byte{18, 1, 0x10, 0x01, 0, 0, 0, 64, 0x27, 0x06, 0x01, 0x40, 0, 1, 1, 2, 3, 1}
	s.Config = []byte{9, 2, 93, 0, 1, 1, 0, 0x80, 50}
	s.Interface = []byte{9, 4, 0, 0, 3, 0x0b, 0, 0, 4}
	s.Endpoints = [][]byte{{7, 5, 0x81, 3, 16, 0, 255}, {7, 5, 0x82, 2, 64, 0, 0},
		{7, 5, 0x03, 2, 64, 0, 0}}
	config := append(append([]byte(nil), s.Config...), s.Interface...)
	config = append(config, make([]byte, 54)...)
	config[18], config[19] = 54, 0x21
	for _, e := range s.Endpoints {
		config = append(config, e...)
	}
	s.configs = [][]byte{config}
	s.SetPath(
		uefi.Node{Type: uefi.ACPINode, SubType: 1, Data: make([]byte, 8)},
		uefi.Node{Type: uefi.HardwareNode, SubType: 1, Data: []byte{0, 4}},
		uefitest.USBNode(1, 0))
	return s
}

func (s *script) Attached() bool { return true }

func (s *script) Text(language uint16, index uint8) ([]uint16, bool) {
	time.Sleep(s.stringTime)
	text, ok := s.strings[index]
	n := len(s.Languages)
	return utf16.Encode([]rune(text)), ok && n > 0 && language == s.Languages[n-1]
}

// unexpected fails the test for a transfer without an answer.
func (s *script) unexpected() answer {
	s.t.Errorf("unexpected %s", s.Log[len(s.Log)-1])
	return answer{Status: uefi.Aborted}
}

func (s *script) Stream(uint8, []byte, time.Duration) answer {
	if len(s.streams) == 0 {
		return s.unexpected()
	}
	next := s.streams[0]
	s.streams = s.streams[1:]
	return next
}

func (s *script) Control(r uefi.USBRequest, data []byte, limit time.Duration) answer {
	switch {
	case r.RequestType == 0x80 && r.Request == 6 && r.Value>>8 == 2:
		return s.config(int(r.Value&0xff), data, limit)
	case s.obeys && r.RequestType == usb.ToInterface && r.Request == usb.RequestSetInterface:
		if alt, ok := s.settings[uint8(r.Value)]; ok {
			s.Interface, s.Endpoints = alt.setting, alt.endpoints
		}
	}
	if s.control == nil {
		return s.unexpected()
	}
	return s.control(r, data)
}

// config answers a request for a configuration descriptor.
func (s *script) config(index int, data []byte, limit time.Duration) answer {
	if index >= len(s.configs) {
		return answer{Status: uefi.DeviceError, Result: uefi.USBStall}
	}
	s.reads = append(s.reads, len(data))
	got := answer{Data: s.configs[index], Took: s.configTime}
	switch {
	case s.configTime > limit:
		return uefitest.Silent
	case len(got.Data) < len(data):
		got.Status = uefi.DeviceError // as edk2 does
	}
	return got
}

// at is the address of the protocol.
func (s *script) at() uintptr { return uintptr(unsafe.Pointer(s.Table)) }

// try opens the transport.
func (s *script) try(ctx context.Context) (*Transport, error) {
	return New(ctx, s.Handle, s.at(), Options{Pause: s.pause, Setting: s.choose})
}

// open opens the transport and clears the log of that.
func (s *script) open() *Transport {
	s.t.Helper()
	tr, err := s.try(bg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Log = nil
	return tr
}

// ring is where the messages of the endpoint go that firmware polls, nil without one.
func (s *script) ring() *ring { return uefi.At[ring](s.Polled) }

// send does what record does.
func (s *script) send(b ...byte) {
	x := s.ring()
	if x == nil {
		s.t.Fatal("the endpoint is not polled")
	}
	at := x.written
	if at-x.taken >= ringSlots {
		at--
	}
	slot := &x.slots[at%ringSlots]
	slot.n = uint32(copy(slot.data[:], b))
	x.written = at + 1
}
