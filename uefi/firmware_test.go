//go:build !tamago

package uefi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// pool is the firmware's memory: what it allocated for its callers and has not been given back.
type pool struct{ blocks map[uintptr]any }

// put allocates a value in the pool.
func put[T any](p *pool, v T) uintptr {
	b := new(T)
	*b = v
	addr := uintptr(unsafe.Pointer(b))
	p.blocks[addr] = b
	return addr
}

// fakeBoot is boot services with a FreePool, and whatever functions a test sets.
func fakeBoot(t *testing.T, set func(table *BootServicesTable, p *pool)) *BootServices {
	p := &pool{map[uintptr]any{}}
	table := &BootServicesTable{FreePool: abi.Fake(func(a []uintptr) uintptr {
		if _, ok := p.blocks[a[0]]; !ok {
			t.Errorf("FreePool(%#x) of what is not allocated", a[0])
		}
		delete(p.blocks, a[0])
		return 0
	})}
	set(table, p)
	t.Cleanup(func() {
		if len(p.blocks) != 0 {
			t.Errorf("%d blocks were not freed", len(p.blocks))
		}
	})
	return &BootServices{table}
}

func TestWithoutFirmwareEverythingIsUnsupported(t *testing.T) {
	b, r := Boot(), Runtime()
	_, pages := b.AllocatePages(AllocateAnyPages, LoaderData, 1, 0)
	_, handles := b.LocateHandles(&USBIOGUID)
	_, memory := b.GetMemoryMap()
	_, now := r.GetTime()
	_, write := ConOut().Write([]byte("x"))
	_, _, key := ConIn().Poll()
	_, event := b.CheckEvent(1)
	for i, err := range []error{pages, handles, memory, now, write, key, event, b.Stall(time.Second), b.FreePages(0x1000, 1)} {
		if err != error(Unsupported) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if ConfigurationTables() != nil {
		t.Error("there are configuration tables")
	}
	if vendor, _ := Firmware(); vendor != "" {
		t.Error(vendor)
	}
}

func TestLocateHandles(t *testing.T) {
	for _, c := range []struct {
		name   string
		status Status
		count  uintptr
		want   []Handle
		err    error
	}{
		{name: "two handles", count: 2, want: []Handle{11, 22}},
		{name: "none", status: NotFound},
		{name: "none, and success", count: 0},
		{name: "a count that cannot be", count: 1 << 40, err: BadBufferSize},
		{name: "no memory", status: OutOfResources, err: OutOfResources},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fakeBoot(t, func(table *BootServicesTable, p *pool) {
				table.LocateHandleBuffer = abi.Fake(func(a []uintptr) uintptr {
					if SearchType(a[0]) != ByProtocol || *At[GUID](a[1]) != USBIOGUID || a[2] != 0 {
						t.Errorf("arguments %x", a)
					}
					if c.status == Success {
						*At[uintptr](a[3]) = c.count
						*At[uintptr](a[4]) = put(p, [2]Handle{11, 22})
					}
					return uintptr(c.status)
				})
			})
			got, err := b.LocateHandles(&USBIOGUID)
			if !slices.Equal(got, c.want) || err != c.err && !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestInstallProtocolsAllOrNone(t *testing.T) {
	guids := []GUID{{A: 1}, {A: 2}, {A: 3}}
	for _, c := range []struct {
		name    string
		refuse  uint32 // the GUID that cannot be installed
		handle  Handle
		want    Handle
		err     error
		history string
	}{
		{name: "on a new handle", want: 99, history: "[+1@0 +2@99 +3@99]"},
		{name: "on a handle that exists", handle: 5, want: 5, history: "[+1@5 +2@5 +3@5]"},
		{name: "the first is refused", refuse: 1, err: InvalidParameter, history: "[+1@0]"},
		{name: "the last is refused", refuse: 3, err: InvalidParameter, history: "[+1@0 +2@99 +3@99 -2@99 -1@99]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var history []string
			b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
				table.InstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
					h, g := At[Handle](a[0]), At[GUID](a[1])
					history = append(history, fmt.Sprintf("+%d@%d", g.A, *h))
					if a[2] != 0 || a[3] != uintptr(0x100*g.A) {
						t.Errorf("arguments %x", a)
					}
					if g.A == c.refuse {
						return uintptr(InvalidParameter)
					}
					if *h == 0 {
						*h = 99
					}
					return 0
				})
				table.UninstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
					history = append(history, fmt.Sprintf("-%d@%d", At[GUID](a[1]).A, a[0]))
					return 0
				})
			})
			got, err := b.InstallProtocols(c.handle, Protocol{&guids[0], 0x100}, Protocol{&guids[1], 0x200}, Protocol{&guids[2], 0x300})
			if got != c.want || !errors.Is(err, c.err) || fmt.Sprint(history) != c.history {
				t.Errorf("got %v, %v, %v", got, err, history)
			}
		})
	}
}

func TestInstallProtocolsRefusesADevicePathThatExists(t *testing.T) {
	path := DevicePath(unhex(t, "01010600 0004 7fff0400"))
	b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
		table.InstallProtocolInterface = abi.Fake(func([]uintptr) uintptr { t.Error("installed"); return 0 })
		table.LocateDevicePath = abi.Fake(func(a []uintptr) uintptr {
			*At[uintptr](a[1]) += 6 // the whole path but its end belongs to a handle
			*At[Handle](a[2]) = 4
			return 0
		})
	})
	if _, err := b.InstallProtocols(0, Protocol{&DevicePathGUID, address(&path[0])}); err != error(AlreadyStarted) {
		t.Error(err)
	}
}

func TestUninstallProtocolsAllOrNone(t *testing.T) {
	guids := []GUID{{A: 1}, {A: 2}, {A: 3}}
	var history []string
	b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
		table.InstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
			history = append(history, fmt.Sprintf("+%d@%d", At[GUID](a[1]).A, *At[Handle](a[0])))
			return 0
		})
		table.UninstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
			g := At[GUID](a[1])
			history = append(history, fmt.Sprintf("-%d@%d", g.A, a[0]))
			if g.A == 1 {
				return uintptr(AccessDenied)
			}
			return 0
		})
	})
	err := b.UninstallProtocols(5, Protocol{&guids[0], 1}, Protocol{&guids[1], 2}, Protocol{&guids[2], 3})
	if err != error(AccessDenied) || fmt.Sprint(history) != "[-3@5 -2@5 -1@5 +2@5 +3@5]" {
		t.Errorf("%v, %v", err, history)
	}
}

func TestProtocolsThatCannotBeRemovedAgainAreNotForgotten(t *testing.T) {
	guids := []GUID{{A: 1}, {A: 2}, {A: 3}}
	protocols := []Protocol{{&guids[0], 1}, {&guids[1], 2}, {&guids[2], 3}}
	refused := map[uint32]bool{3: true}
	there := map[uint32]bool{}
	b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
		table.InstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
			g := At[GUID](a[1]).A
			if refused[g] {
				return uintptr(OutOfResources)
			}
			there[g], *At[Handle](a[0]) = true, 99
			return 0
		})
		table.UninstallProtocolInterface = abi.Fake(func(a []uintptr) uintptr {
			g := At[GUID](a[1]).A
			switch {
			case a[0] != 99:
				t.Errorf("handle %#x", a[0])
			case g == 1 && len(refused) > 0:
				refused[2] = true // what was removed cannot be put back
				return uintptr(AccessDenied)
			case !there[g]:
				return uintptr(NotFound)
			}
			delete(there, g)
			return 0
		})
	})
	h, err := b.InstallProtocols(0, protocols...)
	if h != 99 || err != error(OutOfResources) || len(there) != 1 || !there[1] {
		t.Fatalf("handle %#x, %v, installed: %v", h, err, there)
	}
	if err := b.UninstallProtocols(h, protocols...); err != error(AccessDenied) {
		t.Error(err)
	}
	clear(refused)
	if err := b.UninstallProtocols(h, protocols...); err != nil || len(there) != 0 {
		t.Errorf("%v, installed: %v", err, there)
	}
}

func TestOpenProtocol(t *testing.T) {
	for _, c := range []struct {
		status Status
		want   uintptr
	}{{Success, 0x1234}, {AlreadyStarted, 0x1234}, {AccessDenied, 0}, {Unsupported, 0}} {
		b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
			table.OpenProtocol = abi.Fake(func(a []uintptr) uintptr {
				if a[0] != 1 || *At[GUID](a[1]) != USBIOGUID || a[3] != 2 || a[4] != 3 || a[5] != 0x10 {
					t.Errorf("arguments %x", a)
				}
				*At[uintptr](a[2]) = 0x1234
				return uintptr(c.status)
			})
		})
		got, err := b.OpenProtocol(1, &USBIOGUID, 2, 3, OpenByDriver)
		if got != c.want || !errors.Is(err, c.status.Err()) {
			t.Errorf("%v: got %#x, %v", c.status, got, err)
		}
	}
}

func TestListsOfFirmware(t *testing.T) {
	b := fakeBoot(t, func(table *BootServicesTable, p *pool) {
		table.OpenProtocolInformation = abi.Fake(func(a []uintptr) uintptr {
			*At[uintptr](a[2]) = put(p, [1]OpenProtocolInformationEntry{{Agent: 7, Controller: 8, Attributes: OpenByDriver, OpenCount: 2}})
			*At[uintptr](a[3]) = 1
			return 0
		})
		table.ProtocolsPerHandle = abi.Fake(func(a []uintptr) uintptr {
			*At[uintptr](a[1]) = put(p, [2]*GUID{&USBIOGUID, &DevicePathGUID})
			*At[uintptr](a[2]) = 2
			return 0
		})
		table.ConnectController = abi.Fake(func(a []uintptr) uintptr {
			if list := *At[[3]Handle](a[1]); a[0] != 4 || list != [3]Handle{5, 6, 0} || a[2] != 0 || a[3] != 1 {
				t.Errorf("ConnectController(%x), drivers %v", a, list)
			}
			return 0
		})
	})
	info, err := b.OpenProtocolInformation(1, &USBIOGUID)
	if err != nil || len(info) != 1 || info[0] != (OpenProtocolInformationEntry{7, 8, OpenByDriver, 2}) {
		t.Errorf("%+v, %v", info, err)
	}
	if guids, err := b.ProtocolsPerHandle(1); err != nil || !slices.Equal(guids, []GUID{USBIOGUID, DevicePathGUID}) {
		t.Errorf("%v, %v", guids, err)
	}
	if err := b.ConnectController(4, []Handle{5, 6}, true); err != nil {
		t.Error(err)
	}
}

func TestGetMemoryMap(t *testing.T) {
	const stride = 48 // firmware's descriptors are longer than ours
	for _, c := range []struct {
		name   string
		grow   int // how often the map is longer than was said just before
		stride uintptr
		claim  uintptr // what firmware says it wrote, 0 for the truth
		need   uintptr // what firmware asks for, 0 for the truth
		err    error
	}{
		{name: "a map", stride: stride},
		{name: "a map that grows meanwhile", stride: stride, grow: 3},
		{name: "a map that never stops growing", stride: stride, grow: 1000, err: BufferTooSmall},
		{name: "descriptors shorter than the specification's", stride: 24, err: BadBufferSize},
		{name: "descriptors of no size", stride: 0, err: BufferTooSmall},
		{name: "more written than there was room", stride: stride, claim: 1 << 30, err: BadBufferSize},
		{name: "an absurd need", stride: stride, need: 1 << 50, err: BadBufferSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries := []MemoryDescriptor{{Type: ConventionalMemory, PhysicalStart: 0x1000, Pages: 10}, {Type: LoaderData, Pages: 3}, {Type: ConventionalMemory, Pages: 5}}
			grow := c.grow
			b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
				table.GetMemoryMap = abi.Fake(func(a []uintptr) uintptr {
					size := At[uintptr](a[0])
					*At[uintptr](a[3]), *At[uint32](a[4]) = c.stride, 1
					room, need := *size, uintptr(len(entries))*c.stride
					if room > 0 && grow > 0 {
						grow--
						need = room + c.stride
					}
					if c.need != 0 {
						need = c.need
					}
					*size = need
					if room < need || room == 0 {
						return uintptr(BufferTooSmall)
					}
					for i, e := range entries {
						if c.stride >= unsafe.Sizeof(e) {
							*At[MemoryDescriptor](a[1] + uintptr(i)*c.stride) = e
						}
					}
					*At[uintptr](a[2]) = 0x77
					if c.claim != 0 {
						*size = c.claim
					}
					return 0
				})
			})
			m, err := b.GetMemoryMap()
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err == nil && (!slices.Equal(m.Descriptors, entries) || m.Key != 0x77 || m.Pages(ConventionalMemory) != 15) {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	status := Success
	var set []uintptr
	b := fakeBoot(t, func(table *BootServicesTable, _ *pool) {
		table.CheckEvent = abi.Fake(func([]uintptr) uintptr { return uintptr(status) })
		table.SetTimer = abi.Fake(func(a []uintptr) uintptr { set = a; return 0 })
		table.CreateEvent = abi.Fake(func(a []uintptr) uintptr {
			if EventType(a[0]) != EventTimer|EventNotifySignal || TPL(a[1]) != TPLCallback || a[2] != 0x10 || a[3] != 0x20 {
				t.Errorf("CreateEvent(%x)", a)
			}
			*At[Event](a[4]) = 3
			return 0
		})
		table.WaitForEvent = abi.Fake(func(a []uintptr) uintptr {
			if a[0] != 2 || *At[[2]Event](a[1]) != [2]Event{8, 9} {
				t.Errorf("WaitForEvent(%x)", a)
			}
			*At[uintptr](a[2]) = 1
			return 0
		})
	})
	if ev, err := b.CreateEvent(EventTimer|EventNotifySignal, TPLCallback, 0x10, 0x20); ev != 3 || err != nil {
		t.Error(ev, err)
	}
	if i, err := b.WaitForEvent(8, 9); i != 1 || err != nil {
		t.Error(i, err)
	}
	if _, err := b.WaitForEvent(); err != error(InvalidParameter) {
		t.Errorf("waiting for nothing: %v", err)
	}
	for _, c := range []struct {
		status   Status
		signaled bool
		err      error
	}{{Success, true, nil}, {NotReady, false, nil}, {InvalidParameter, false, InvalidParameter}} {
		status = c.status
		if got, err := b.CheckEvent(1); got != c.signaled || !errors.Is(err, c.err) {
			t.Errorf("%v: %v, %v", c.status, got, err)
		}
	}
	for d, want := range map[time.Duration]uintptr{time.Millisecond: 10000, 101: 2, 100: 1, 0: 0, -time.Second: 0} {
		if b.SetTimer(6, TimerPeriodic, d); !slices.Equal(set, []uintptr{6, 1, want}) {
			t.Errorf("SetTimer of %v: %v", d, set)
		}
	}
}

func TestImages(t *testing.T) {
	path := DevicePath(unhex(t, "01010600 0004 7fff0400"))
	b := fakeBoot(t, func(table *BootServicesTable, p *pool) {
		table.LoadImage = abi.Fake(func(a []uintptr) uintptr {
			if a[0] != 0 || a[1] != 5 || !bytes.Equal(DevicePathAt(a[2]), path) || *At[byte](a[3]) != 'M' || a[4] != 2 {
				t.Errorf("LoadImage(%x)", a)
			}
			*At[Handle](a[5]) = 6
			return uintptr(SecurityViolation)
		})
		table.StartImage = abi.Fake(func(a []uintptr) uintptr {
			*At[uintptr](a[1]) = 6
			*At[uintptr](a[2]) = put(p, [3]uint16{'w', 'h', 'y'}) // no NUL
			return uintptr(Aborted)
		})
	})
	if h, err := b.LoadImage(false, 5, path, []byte("MZ")); h != 6 || err != error(SecurityViolation) {
		t.Error(h, err)
	}
	if _, err := b.LoadImage(false, 5, path[:6], nil); err != error(InvalidParameter) {
		t.Errorf("a path without an end: %v", err)
	}
	if text, err := b.StartImage(6); text != "why" || err != error(Aborted) {
		t.Error(text, err)
	}
}

func TestVariables(t *testing.T) {
	value := []byte("some value")
	claim := uintptr(0)
	r := &RuntimeServices{&RuntimeServicesTable{
		GetVariable: abi.Fake(func(a []uintptr) uintptr {
			if StringAt(a[0], 100) != "Boot0001" || *At[GUID](a[1]) != GlobalVariable {
				return uintptr(NotFound)
			}
			size := At[uintptr](a[3])
			if claim != 0 {
				*size = claim
				return uintptr(BufferTooSmall)
			}
			if *size < uintptr(len(value)) {
				*size = uintptr(len(value))
				return uintptr(BufferTooSmall)
			}
			copy(unsafe.Slice(At[byte](a[4]), *size), value)
			*size, *At[VariableAttributes](a[2]) = uintptr(len(value)), VariableNonVolatile
			return 0
		}),
		GetNextVariableName: abi.Fake(func(a []uintptr) uintptr {
			name := unsafe.Slice(At[uint16](a[1]), *At[uintptr](a[0])/2)
			if FromUTF16(name) == "last" {
				return uintptr(NotFound)
			}
			copy(name, UTF16("last"))
			*At[GUID](a[2]) = USBIOGUID
			return 0
		}),
	}}
	if data, attributes, err := r.GetVariable("Boot0001", &GlobalVariable); string(data) != "some value" || attributes != VariableNonVolatile || err != nil {
		t.Errorf("%q, %v, %v", data, attributes, err)
	}
	if _, _, err := r.GetVariable("Boot0002", &GlobalVariable); err != error(NotFound) {
		t.Error(err)
	}
	claim = 1 << 40
	if _, _, err := r.GetVariable("Boot0001", &GlobalVariable); err != error(BadBufferSize) {
		t.Errorf("a variable of an absurd size: %v", err)
	}
	claim = 1
	if _, _, err := r.GetVariable("Boot0001", &GlobalVariable); err != error(BufferTooSmall) {
		t.Errorf("a variable that never fits: %v", err)
	}
	first, err := r.GetNextVariableName(VariableName{})
	if err != nil || first != (VariableName{"last", USBIOGUID}) {
		t.Error(first, err)
	}
	if _, err := r.GetNextVariableName(first); err != error(NotFound) {
		t.Error(err)
	}
}
