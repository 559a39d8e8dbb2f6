//go:build !tamago

package driver

import (
	"syscall"
	"testing"
	"unsafe"

	"tamaccid/ccid/scard"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// wild are addresses that no caller's memory has.
var wild = map[string]uintptr{
	"page 0":                            8,
	"an unmapped address":               0x7000_0000_0000,
	"an unmapped address, unaligned":    0x7000_0000_0003,
	"a non-canonical address":           0x8000_0000_0000,
	"another non-canonical address":     0xdead_beef_dead_beef,
	"the upper half":                    0xffff_8000_0000_0000,
	"a buffer that ends at the last":    whole - 7,
	"the last address of all":           whole,
	"a buffer that ends after the last": whole - 2,
}

func TestWildPointersAreInvalidParameters(t *testing.T) {
	english, answer := text(t, "en"), []byte{1, 2, 3, 4}
	for _, c := range []struct {
		name string
		held smartcard.AccessMode
		call func(d *Driver, r *reader, p uintptr) uefi.Status
		want uefi.Status // EFI_INVALID_PARAMETER if 0
	}{
		{name: "SCardConnect to the reader, active",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.connect, r.address(), uintptr(smartcard.AccessReader), 0, 0, p)
			}},
		{name: "SCardConnect to the card, active",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.connect, r.address(), uintptr(smartcard.AccessCard), 1, 3, p)
			}},
		{name: "SCardStatus, name", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.status, r.address(), p, addr(place(t, uintptr(256))))
		}},
		{name: "SCardStatus, length of the name",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.status, r.address(), newBuffer(t, 256).at(), p)
			}},
		{name: "SCardStatus, state", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.status, r.address(), 0, 0, p)
		}},
		{name: "SCardStatus, protocol", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.status, r.address(), 0, 0, 0, p)
		}},
		{name: "SCardStatus, ATR", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.status, r.address(), 0, 0, 0, 0, p, addr(place(t, uintptr(33))))
		}},
		{name: "SCardStatus, length of the ATR",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.status, r.address(), 0, 0, 0, 0, newBuffer(t, 33).at(), p)
			}},
		{name: "SCardTransmit, command", held: smartcard.AccessCard,
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.transmit, r.address(), p, 4, newBuffer(t, 256).at(),
					addr(place(t, uintptr(256))))
			}},
		{name: "SCardTransmit, response", held: smartcard.AccessCard,
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.transmit, r.address(), newBuffer(t, 4).at(), 4, p,
					addr(place(t, uintptr(256))))
			}},
		{name: "SCardTransmit, length of the response", held: smartcard.AccessCard,
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.transmit, r.address(), newBuffer(t, 4).at(), 4,
					newBuffer(t, 256).at(), p)
			}},
		{name: "SCardControl, input", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.control, r.address(), uintptr(smartcard.GetFeatureRequest), p, 4,
				newBuffer(t, 256).at(), addr(place(t, uintptr(256))))
		}},
		{name: "SCardControl, output", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.control, r.address(), uintptr(smartcard.GetFeatureRequest), 0, 0, p,
				addr(place(t, uintptr(256))))
		}},
		{name: "SCardControl, length of the output",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.control, r.address(), uintptr(smartcard.GetFeatureRequest), 0, 0,
					newBuffer(t, 256).at(), p)
			}},
		{name: "SCardGetAttrib, output", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.getAttrib, r.address(), uintptr(scard.AttrATRString), p,
				addr(place(t, uintptr(33))))
		}},
		{name: "SCardGetAttrib, length of the output",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.getAttrib, r.address(), uintptr(scard.AttrATRString),
					newBuffer(t, 33).at(), p)
			}},
		{name: "GetDriverName, language", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.driverName, 0, p, addr(place(t, uintptr(0))))
		}},
		{name: "GetDriverName, name", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.driverName, 0, english, p)
		}},
		{name: "GetControllerName, language",
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				return call(d.controllerName, 0, 0x10, 0, p, addr(place(t, uintptr(0))))
			}},
		{name: "GetControllerName, name", call: func(d *Driver, r *reader, p uintptr) uefi.Status {
			return call(d.controllerName, 0, 0x10, 0, english, p)
		}},
		{name: "Stop, handles of children", want: uefi.DeviceError,
			call: func(d *Driver, r *reader, p uintptr) uefi.Status {
				d.bound[0x10] = &controller{handle: 0x10, slots: []*installedSlot{{reader: r}}}
				return call(d.stop, 0, 0x10, 1, p)
			}},
	} {
		if c.want == uefi.Success {
			c.want = uefi.InvalidParameter
		}
		for name, p := range wild {
			t.Run(c.name+": "+name, func(t *testing.T) {
				d, r, f := fakeReader(t)
				d.texts.driver = uefi.UTF16(driverName)
				r.held = c.held
				f.control = func(uint32, []byte) ([]byte, error) { return answer, nil }
				f.attrib = func(scard.Attrib) ([]byte, error) { return answer, nil }
				if st := c.call(d, r, p); st != c.want {
					t.Errorf("status %v, want %v", st, c.want)
				}
				if f.log != nil {
					t.Errorf("the slot was asked: %s", f.calls())
				}
				if r.held != c.held {
					t.Errorf("held by %v, want %v", r.held, c.held)
				}
			})
		}
	}
}

// A caller without memory of its own behind what it claims is not the driver's business as long as
// nothing has to be written there.
func TestOutputThatIsNotWrittenNeedsNoMemory(t *testing.T) {
	d, r, _ := fakeReader(t)
	if st := call(d.status, r.address(), 0x7000_0000_0000,
		addr(place(t, uintptr(0)))); st != uefi.BufferTooSmall {
		t.Errorf("SCardStatus with no room: %v", st)
	}
}

// A caller that passes a larger length than its buffer has gets a short answer all the same.
func TestALengthThatIsTooLargeDoesNoHarm(t *testing.T) {
	const readable, pages = 1, 2
	b, err := syscall.Mmap(-1, 0, pages*4096, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(b)
	must(t, syscall.Mprotect(b[readable*4096:], syscall.PROT_NONE))
	buffer := b[readable*4096-shortResponse : readable*4096]
	d, r, f := fakeReader(t)
	r.held = smartcard.AccessCard
	f.transmit = func(_, response []byte) (int, error) {
		return copy(response, []byte{0x90, 0x00}), nil
	}
	length := place(t, uintptr(65536))
	if st := call(d.transmit, r.address(), newBuffer(t, 4).at(), 4,
		uintptr(unsafe.Pointer(&buffer[0])), addr(length)); st != uefi.Success {
		t.Errorf("status %v", st)
	}
	if *length != 2 || buffer[0] != 0x90 || buffer[1] != 0 {
		t.Errorf("%d bytes: % X", *length, buffer[:2])
	}
}
