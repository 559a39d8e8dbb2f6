//go:build !tamago

package uefitest

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// recorder is a test that notes its failures.
type recorder struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) {
	r.failures = append(r.failures, fmt.Sprint(args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// mute is a device that answers each transfer at once, with nothing.
type mute struct{ USBDevice }

func (mute) Control(uefi.USBRequest, []byte, time.Duration) Answer { return Answer{} }
func (mute) Stream(uint8, []byte, time.Duration) Answer            { return Answer{} }

func TestCallsThatUEFIForbidsFailTheTest(t *testing.T) {
	b := uefi.Boot()
	usb := func(fw *Firmware) (*uefi.USBIO, *uefi.USBTransfer) {
		u := fw.PlugUSB(mute{})
		u.Endpoints = [][]byte{{7, 5, 0x81, 3, 8, 0, 10}, {7, 5, 0x02, 2, 64, 0, 0}}
		return uefi.USBIOAt(uintptr(unsafe.Pointer(u.Table))), &uefi.USBTransfer{}
	}
	handle := func(fw *Firmware) uefi.Handle {
		return fw.NewHandle(map[uefi.GUID]uintptr{uefi.USBIOGUID: 0x100})
	}
	for _, c := range []struct {
		name string
		call func(fw *Firmware)
	}{
		{"memory that is not allocated is freed", func(*Firmware) { b.FreePool(8) }},
		{"memory of firmware is left", func(fw *Firmware) { Give(fw, 1) }},
		{"an interface that is not installed is removed", func(fw *Firmware) {
			b.UninstallProtocol(handle(fw), &uefi.PCIIOGUID, 0x100)
		}},
		{"another interface is removed",
			func(fw *Firmware) { b.UninstallProtocol(handle(fw), &uefi.USBIOGUID, 1) }},
		{"a protocol is opened by an agent that is no handle", func(fw *Firmware) {
			h := handle(fw)
			b.OpenProtocol(h, &uefi.USBIOGUID, 1, h, uefi.OpenByDriver)
		}},
		{"a protocol is opened for its own handle as a child", func(fw *Firmware) {
			h := handle(fw)
			b.OpenProtocol(h, &uefi.USBIOGUID, h, h, uefi.OpenByChildController)
		}},
		{"a protocol that is not open is closed", func(fw *Firmware) {
			h := handle(fw)
			b.CloseProtocol(h, &uefi.USBIOGUID, h, h)
		}},
		{"a protocol is closed for a handle that has gone", func(fw *Firmware) {
			h := handle(fw)
			b.CloseProtocol(h, &uefi.USBIOGUID, h, 1)
		}},
		{"drivers are connected to what is no handle",
			func(*Firmware) { b.ConnectController(1, nil, true) }},
		{"an event notifies at TPL_APPLICATION", func(*Firmware) {
			b.CreateEvent(uefi.EventNotifySignal, uefi.TPLApplication, 1, 0)
		}},
		{"a timer is set for an event without one", func(*Firmware) {
			ev, _ := b.CreateEvent(0, 0, 0, 0)
			b.SetTimer(ev, uefi.TimerRelative, time.Second)
		}},
		{"an event is closed twice", func(*Firmware) {
			ev, _ := b.CreateEvent(0, 0, 0, 0)
			b.CloseEvent(ev)
			b.CloseEvent(ev)
		}},
		{"an event with a notification is checked", func(*Firmware) {
			ev, _ := b.CreateEvent(uefi.EventNotifySignal, uefi.TPLCallback, 1, 0)
			b.CheckEvent(ev)
		}},
		{"an image is loaded for what is no image",
			func(fw *Firmware) { b.LoadImage(false, handle(fw), nil, []byte("MZ")) }},
		{"an image is neither started nor unloaded", func(fw *Firmware) {
			h, _ := fw.NewImage(0)
			b.LoadImage(false, h, nil, []byte("MZ"))
		}},
		{"an image is started twice", func(fw *Firmware) {
			h, _ := fw.NewImage(0)
			image, _ := b.LoadImage(false, h, nil, []byte("MZ"))
			b.StartImage(image)
			b.StartImage(image)
		}},
		{"a transfer has no time limit", func(fw *Firmware) {
			io, t := usb(fw)
			io.Bulk(t, 0x02, 0, nil)
		}},
		{"a bulk transfer is for an interrupt endpoint", func(fw *Firmware) {
			io, t := usb(fw)
			io.Bulk(t, 0x81, 1, nil)
		}},
		{"a request has another length than its data stage", func(fw *Firmware) {
			io, t := usb(fw)
			t.Request.Length = 2
			io.Control(t, uefi.USBDataOut, 1, []byte{1})
		}},
		{"a request has another direction than its data stage", func(fw *Firmware) {
			io, t := usb(fw)
			t.Request.Length = 1
			io.Control(t, uefi.USBDataIn, 1, []byte{1})
		}},
		{"an endpoint is polled twice", func(fw *Firmware) {
			io, _ := usb(fw)
			io.AsyncInterrupt(0x81, true, 1, 8, 1, 1)
			io.AsyncInterrupt(0x81, true, 1, 8, 1, 1)
		}},
		{"an endpoint is polled each 0 ms", func(fw *Firmware) {
			io, _ := usb(fw)
			io.AsyncInterrupt(0x81, true, 0, 8, 1, 1)
		}},
		{"a PCI buffer is freed while it is mapped", func(fw *Firmware) {
			io := fw.PlugPCI().IO()
			at, _ := io.AllocateBuffer(1)
			io.MapCommonBuffer(at, uefi.PageSize)
			io.FreeBuffer(at, 1)
		}},
		{"more is mapped than is allocated", func(fw *Firmware) {
			io := fw.PlugPCI().IO()
			at, _ := io.AllocateBuffer(1)
			io.MapCommonBuffer(at, 2*uefi.PageSize)
		}},
		{"a mapping is ended twice", func(fw *Firmware) { fw.PlugPCI().IO().Unmap(1) }},
		{"PCI memory is left", func(fw *Firmware) {
			f := fw.PlugPCI()
			f.IO().AllocateBuffer(1)
			f.NothingLeft()
		}},
		{"a reader is called that was plugged in again", func(fw *Firmware) {
			p := fw.PlugSmartCard()
			old := p.Table
			p.Plug()
			fw.Handles[p.Handle][smartcard.GUID] = uintptr(unsafe.Pointer(old))
			r, _ := smartcard.Open(p.Handle)
			r.Status()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			c.call(New(r))
			for _, f := range r.cleanups {
				f()
			}
			if len(r.failures) == 0 {
				t.Error("the test passes")
			}
		})
	}
}
