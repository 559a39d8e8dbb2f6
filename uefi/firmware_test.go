//go:build !tamago

package uefi_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
	"tamaccid/uefi/uefitest"
)

// address is that of an object that stays in place until the test ends.
func address[T any](t *testing.T, v *T) uintptr {
	t.Cleanup(func() { runtime.KeepAlive(v) })
	return uintptr(unsafe.Pointer(v))
}

// path is a device path of one node.
func path(t *testing.T) uefi.DevicePath {
	p, err := uefi.NewDevicePath(uefi.Node{Type: uefi.HardwareNode, SubType: 1, Data: []byte{0, 4}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// history makes firmware write down which interfaces are installed (+) and removed (-), and refuse
// the calls in that list.
func history(fw *uefitest.Firmware, refuse map[string]uefi.Status) *[]string {
	calls := new([]string)
	fw.Refuse = func(service string, h uefi.Handle, guid uefi.GUID) uefi.Status {
		sign, ok := map[string]string{"install": "+", "uninstall": "-"}[service]
		if !ok {
			return uefi.Success
		}
		call := fmt.Sprintf("%s%d", sign, guid.A)
		*calls = append(*calls, fmt.Sprintf("%s@%d", call, h))
		return refuse[call]
	}
	return calls
}

// guids are those of three interfaces, at 0x100, 0x200 and 0x300.
var guids = []uefi.GUID{{A: 1}, {A: 2}, {A: 3}}

func interfaces() []uefi.Protocol {
	return []uefi.Protocol{
		{GUID: &guids[0], Interface: 0x100},
		{GUID: &guids[1], Interface: 0x200},
		{GUID: &guids[2], Interface: 0x300},
	}
}

func TestWithoutFirmwareEverythingIsUnsupported(t *testing.T) {
	b, r := uefi.Boot(), uefi.Runtime()
	_, pages := b.AllocatePages(uefi.AllocateAnyPages, uefi.LoaderData, 1, 0)
	_, handles := b.LocateHandles(&uefi.USBIOGUID)
	_, memory := b.GetMemoryMap()
	_, now := r.GetTime()
	_, write := uefi.ConOut().Write([]byte("x"))
	_, _, key := uefi.ConIn().Poll()
	_, event := b.CheckEvent(1)
	for i, err := range []error{
		pages, handles, memory, now, write, key, event, b.Stall(time.Second), b.FreePages(0x1000,
			1),
	} {
		if !errors.Is(err, uefi.Unsupported) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if uefi.ConfigurationTables() != nil {
		t.Error("there are configuration tables")
	}
	if vendor, _ := uefi.Firmware(); vendor != "" {
		t.Error(vendor)
	}
}

func TestLocateHandles(t *testing.T) {
	for _, c := range []struct {
		name    string
		handles int
		wrong   bool // firmware reports another count
		count   uintptr
		status  uefi.Status
		err     error
	}{
		{name: "two handles", handles: 2},
		{name: "none"},
		{name: "none, and success", handles: 1, wrong: true},
		{name: "a count that cannot be", handles: 1, wrong: true, count: 1 << 40,
			err: uefi.BadBufferSize},
		{name: "no memory", status: uefi.OutOfResources, err: uefi.OutOfResources},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw := uefitest.New(t)
			fw.NewHandle(map[uefi.GUID]uintptr{uefi.PCIIOGUID: 1})
			var want []uefi.Handle
			for range c.handles {
				want = append(want, fw.NewHandle(map[uefi.GUID]uintptr{uefi.USBIOGUID: 1}))
			}
			fw.Refuse = uefitest.Only("locate handles", c.status)
			if c.wrong {
				locate := fw.Table.LocateHandleBuffer
				fw.Table.LocateHandleBuffer = abi.Fake(func(a []uintptr) uintptr {
					st := abi.Call(locate, a...)
					*uefi.At[uintptr](a[3]) = c.count
					return st
				})
				want = nil
			}
			got, err := uefi.Boot().LocateHandles(&uefi.USBIOGUID)
			if !slices.Equal(got, want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, want, c.err)
			}
		})
	}
}

func TestInstallProtocolsAllOrNone(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuse  string
		exists  bool // the handle does
		err     error
		history string // H is the handle
	}{
		{name: "on a new handle", history: "[+1@0 +2@H +3@H]"},
		{name: "on a handle that exists", exists: true, history: "[+1@H +2@H +3@H]"},
		{name: "the first is refused", refuse: "+1", err: uefi.InvalidParameter, history: "[+1@0]"},
		{name: "the last is refused", refuse: "+3", err: uefi.InvalidParameter,
			history: "[+1@0 +2@H +3@H -2@H -1@H]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw := uefitest.New(t)
			h := uefi.Handle(0)
			if c.exists {
				h = fw.NewHandle(map[uefi.GUID]uintptr{})
			}
			next := fw.NewHandle(nil) + 1
			calls := history(fw, map[string]uefi.Status{c.refuse: uefi.InvalidParameter})
			got, err := uefi.Boot().InstallProtocols(h, interfaces()...)
			want := next
			if c.exists {
				want = h
			}
			if log := strings.ReplaceAll(fmt.Sprint(*calls), fmt.Sprint("@", want),
				"@H"); log != c.history {
				t.Errorf("calls %s, want %s", log, c.history)
			}
			if c.err != nil {
				want = 0
			}
			if got != want || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, want, c.err)
			}
			for i, p := range interfaces() {
				if at := fw.Handles[got][*p.GUID]; (at == p.Interface) != (c.err == nil) {
					t.Errorf("interface %d is at %#x", i, at)
				}
			}
		})
	}
}

func TestInstallProtocolsRefusesADevicePathThatExists(t *testing.T) {
	fw := uefitest.New(t)
	first, second := path(t), path(t)
	fw.SetPath(fw.NewHandle(map[uefi.GUID]uintptr{}), first)
	before := fw.State()
	_, err := uefi.Boot().InstallProtocols(0,
		uefi.Protocol{GUID: &uefi.DevicePathGUID, Interface: address(t, &second[0])})
	if !errors.Is(err, uefi.AlreadyStarted) || fw.State() != before {
		t.Errorf("%v, before %s, after %s", err, before, fw.State())
	}
}

func TestUninstallProtocolsAllOrNone(t *testing.T) {
	fw := uefitest.New(t)
	h := fw.NewHandle(map[uefi.GUID]uintptr{guids[0]: 0x100, guids[1]: 0x200, guids[2]: 0x300})
	before := fw.State()
	calls := history(fw, map[string]uefi.Status{"-1": uefi.AccessDenied})
	err := uefi.Boot().UninstallProtocols(h, interfaces()...)
	log := strings.ReplaceAll(fmt.Sprint(*calls), fmt.Sprint("@", h), "")
	if !errors.Is(err, uefi.AccessDenied) || log != "[-3 -2 -1 +2 +3]" || fw.State() != before {
		t.Errorf("%v, calls %s, before %s, after %s", err, log, before, fw.State())
	}
}

func TestProtocolsThatCannotBeRemovedAgainAreNotForgotten(t *testing.T) {
	fw := uefitest.New(t)
	fw.Partial = true
	refuse := map[string]uefi.Status{"+3": uefi.OutOfResources, "-1": uefi.AccessDenied}
	history(fw, refuse)
	next := fw.Refuse
	fw.Refuse = func(service string, h uefi.Handle, guid uefi.GUID) uefi.Status {
		st := next(service, h, guid)
		if st == uefi.AccessDenied {
			refuse["+2"] = uefi.OutOfResources // what was removed cannot be put back
		}
		return st
	}
	h, err := uefi.Boot().InstallProtocols(0, interfaces()...)
	if h == 0 || !errors.Is(err, uefi.OutOfResources) || len(fw.Handles[h]) != 1 ||
		fw.Handles[h][guids[0]] == 0 {
		t.Fatalf("handle %#x, %v, installed: %v", h, err, fw.Handles[h])
	}
	if err := uefi.Boot().UninstallProtocols(h, interfaces()...); !errors.Is(err,
		uefi.AccessDenied) {
		t.Error(err)
	}
	clear(refuse)
	if err := uefi.Boot().UninstallProtocols(h, interfaces()...); err != nil ||
		len(fw.Handles) != 0 {
		t.Errorf("%v, installed: %v", err, fw.Handles)
	}
}

func TestOpenProtocol(t *testing.T) {
	for _, c := range []struct {
		status uefi.Status
		other  string // who has it open by driver
		want   uintptr
	}{
		{status: uefi.Success, want: 0x1234},
		{status: uefi.AlreadyStarted, other: "the same agent", want: 0x1234},
		{status: uefi.AccessDenied, other: "another agent"},
		{status: uefi.Unsupported},
	} {
		fw := uefitest.New(t)
		h := fw.NewHandle(map[uefi.GUID]uintptr{uefi.DevicePathGUID: 1})
		agent := fw.NewHandle(map[uefi.GUID]uintptr{})
		if c.status != uefi.Unsupported {
			fw.Handles[h][uefi.USBIOGUID] = 0x1234
		}
		opening := uefitest.Opening{On: h, GUID: uefi.USBIOGUID, Agent: agent, Controller: h,
			How: uefi.OpenByDriver}
		want := []uefitest.Opening{opening}
		switch c.other {
		case "the same agent":
			fw.Opened = want
		case "another agent":
			want[0].Agent = h
			fw.Opened = want
		}
		got, err := uefi.Boot().OpenProtocol(h, &uefi.USBIOGUID, agent, h, uefi.OpenByDriver)
		if got != c.want || !errors.Is(err, c.status.Err()) {
			t.Errorf("%v: got %#x, %v", c.status, got, err)
		}
		if c.status != uefi.Unsupported && !slices.Equal(fw.Opened, want) {
			t.Errorf("%v: open %v, want %v", c.status, fw.Opened, want)
		}
		if c.status == uefi.Success {
			if err := uefi.Boot().CloseProtocol(h, &uefi.USBIOGUID, agent, h); err != nil ||
				len(fw.Opened) != 0 {
				t.Errorf("%v, open %v", err, fw.Opened)
			}
		}
	}
}

func TestListsOfFirmware(t *testing.T) {
	fw, b := uefitest.New(t), uefi.Boot()
	h := fw.NewHandle(map[uefi.GUID]uintptr{uefi.USBIOGUID: 1, uefi.DevicePathGUID: 2})
	fw.Opened = []uefitest.Opening{
		{On: h, GUID: uefi.USBIOGUID, Agent: 7, Controller: 8, How: uefi.OpenByDriver},
		{On: h, GUID: uefi.DevicePathGUID, Agent: 9},
	}
	info, err := b.OpenProtocolInformation(h, &uefi.USBIOGUID)
	want := uefi.OpenProtocolInformationEntry{Agent: 7, Controller: 8,
		Attributes: uefi.OpenByDriver, OpenCount: 1}
	if err != nil || len(info) != 1 || info[0] != want {
		t.Errorf("%+v, %v", info, err)
	}
	if guids, err := b.ProtocolsPerHandle(h); err != nil ||
		!slices.Equal(guids, []uefi.GUID{uefi.DevicePathGUID, uefi.USBIOGUID}) {
		t.Errorf("%v, %v", guids, err)
	}
	var list []uefi.Handle
	all := false
	fw.Connect = func(_ uefi.Handle, drivers []uefi.Handle, recursive bool) {
		list, all = drivers, recursive
	}
	if err := b.ConnectController(h, []uefi.Handle{5, 6}, true); err != nil ||
		!slices.Equal(list, []uefi.Handle{5, 6}) || !all {
		t.Errorf("%v, drivers %v, recursive %v", err, list, all)
	}
	if err := b.ConnectController(h, nil, false); err != nil || list != nil || all {
		t.Errorf("%v, drivers %v, recursive %v", err, list, all)
	}
}

func TestGetMemoryMap(t *testing.T) {
	const stride = 48 // firmware's descriptors are longer than those of UEFI 2.11
	for _, c := range []struct {
		name   string
		grow   int // how often the map is longer than the call before reported
		stride uintptr
		claim  uintptr // what firmware reports to have written, 0: the truth
		need   uintptr // what firmware asks for, 0: the truth
		err    error
	}{
		{name: "a map", stride: stride},
		{name: "a map that grows between two calls", stride: stride, grow: 3},
		{name: "a map that never stops growing", stride: stride, grow: 1000,
			err: uefi.BufferTooSmall},
		{name: "descriptors shorter than the specification's", stride: 24, err: uefi.BadBufferSize},
		{name: "descriptors of no size", stride: 0, err: uefi.BufferTooSmall},
		{name: "more written than there was room", stride: stride, claim: 1 << 30,
			err: uefi.BadBufferSize},
		{name: "an absurd need", stride: stride, need: 1 << 50, err: uefi.BadBufferSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries := []uefi.MemoryDescriptor{{Type: uefi.ConventionalMemory,
				PhysicalStart: 0x1000, Pages: 10}, {Type: uefi.LoaderData, Pages: 3},
				{Type: uefi.ConventionalMemory, Pages: 5}}
			grow := c.grow
			uefitest.New(t).Table.GetMemoryMap = abi.Fake(func(a []uintptr) uintptr {
				size := uefi.At[uintptr](a[0])
				*uefi.At[uintptr](a[3]), *uefi.At[uint32](a[4]) = c.stride, 1
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
					return uintptr(uefi.BufferTooSmall)
				}
				for i, e := range entries {
					if c.stride >= unsafe.Sizeof(e) {
						*uefi.At[uefi.MemoryDescriptor](a[1] + uintptr(i)*c.stride) = e
					}
				}
				*uefi.At[uintptr](a[2]) = 0x77
				if c.claim != 0 {
					*size = c.claim
				}
				return 0
			})
			m, err := uefi.Boot().GetMemoryMap()
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err == nil && (!slices.Equal(m.Descriptors, entries) || m.Key != 0x77 ||
				m.Pages(uefi.ConventionalMemory) != 15) {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	fw, b := uefitest.New(t), uefi.Boot()
	const kind = uefi.EventTimer | uefi.EventNotifySignal
	notified, err := b.CreateEvent(kind, uefi.TPLCallback, 0x10, 0x20)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *fw.Events[notified], (uefitest.Event{Type: kind, Level: uefi.TPLCallback,
		Notify: 0x10, Context: 0x20}); got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}
	grouped, err := b.CreateEventEx(uefi.EventNotifySignal, uefi.TPLNotify, 0x30, 0,
		&uefi.GroupIdleLoop)
	if err != nil || fw.Events[grouped].Group != uefi.GroupIdleLoop {
		t.Errorf("%v, event %+v", err, fw.Events[grouped])
	}
	var plain [2]uefi.Event
	for i := range plain {
		if plain[i], err = b.CreateEvent(0, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	signal := func() {
		uefitest.Check(t, b.SignalEvent(plain[1]))
	}
	signal()
	if i, err := b.WaitForEvent(plain[:]...); i != 1 || err != nil {
		t.Error(i, err)
	}
	if _, err := b.WaitForEvent(); !errors.Is(err, uefi.InvalidParameter) {
		t.Errorf("waiting for nothing: %v", err)
	}
	for _, want := range []bool{false, true, false} {
		if want {
			signal()
		}
		if got, err := b.CheckEvent(plain[1]); got != want || err != nil {
			t.Errorf("signaled %v, want %v; %v", got, want, err)
		}
	}
	fw.Refuse = uefitest.Only("check event", uefi.InvalidParameter)
	if got, err := b.CheckEvent(plain[1]); got || !errors.Is(err, uefi.InvalidParameter) {
		t.Errorf("signaled %v, %v", got, err)
	}
	for d, want := range map[time.Duration]time.Duration{
		time.Millisecond: time.Millisecond, 101: 200, 100: 100, 0: 0, -time.Second: 0,
	} {
		b.SetTimer(notified, uefi.TimerPeriodic, d)
		if e := fw.Events[notified]; e.Timer != uefi.TimerPeriodic || e.Period != want {
			t.Errorf("SetTimer of %v: %+v", d, e)
		}
	}
	for _, ev := range []uefi.Event{notified, grouped, plain[0], plain[1]} {
		uefitest.Check(t, b.CloseEvent(ev))
	}
	if len(fw.Events) != 0 {
		t.Errorf("%d events are left", len(fw.Events))
	}
}

func TestImages(t *testing.T) {
	fw, b := uefitest.New(t), uefi.Boot()
	parent, _ := fw.NewImage(0)
	file := path(t)
	fw.Refuse = uefitest.Only("load image", uefi.SecurityViolation)
	h, err := b.LoadImage(false, parent, file, []byte("MZ"))
	if !errors.Is(err, uefi.SecurityViolation) || fw.Images[h] == nil {
		t.Fatal(h, err)
	}
	if image := fw.Images[h]; !bytes.Equal(image.Path, file) || string(image.Source) != "MZ" ||
		image.ParentHandle != parent {
		t.Errorf("image %+v", image)
	}
	if _, err := b.LoadImage(false, parent, file[:6], nil); !errors.Is(err, uefi.InvalidParameter) {
		t.Errorf("a path without an end: %v", err)
	}
	fw.Refuse, fw.ExitText = uefitest.Only("start image", uefi.Aborted), "why"
	if text, err := b.StartImage(h); text != "why" || !errors.Is(err, uefi.Aborted) {
		t.Error(text, err)
	}
	fw.Refuse = nil
	if h, err = b.LoadImage(false, parent, file, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.UnloadImage(h); err != nil || len(fw.Images) != 0 {
		t.Errorf("%v, %d images are left", err, len(fw.Images))
	}
}

func TestLoadOptionsThatAreSetAreReadBack(t *testing.T) {
	uefitest.New(t)
	for _, text := range []string{"usb=direct", "", "zwei Wörter"} {
		var l uefi.LoadedImage
		uefitest.Must(t, uefi.Boot().SetOptionText(&l, text))
		if got := l.OptionText(); got != text || l.LoadOptionsSize%2 != 0 || l.LoadOptionsSize < 2 {
			t.Errorf("%q in %d bytes", got, l.LoadOptionsSize)
		}
	}
	var l uefi.LoadedImage
	err := uefi.Boot().SetOptionText(&l, strings.Repeat("x", 64<<10))
	if !errors.Is(err, uefi.BadBufferSize) || l.LoadOptions != 0 {
		t.Errorf("too long: %v, %#x", err, l.LoadOptions)
	}
}

// TestUSBStringIsFreed: firmware fails the test when its memory is left.
func TestUSBStringIsFreed(t *testing.T) {
	fw := uefitest.New(t)
	u := fw.PlugUSB(product{})
	io := uefi.USBIOAt(uintptr(unsafe.Pointer(u.Table)))
	if s, err := io.String(0x409, 2); s != "Reader" || err != nil {
		t.Error(s, err)
	}
	if s, err := io.String(0x409, 3); s != "" || !errors.Is(err, uefi.NotFound) {
		t.Error(s, err)
	}
}

// product is a device that has one string.
type product struct{ uefitest.USBDevice }

func (product) Text(language uint16, index uint8) ([]uint16, bool) {
	text := uefi.UTF16("Reader")
	return text[:len(text)-1], language == 0x409 && index == 2
}

func TestArgs(t *testing.T) {
	fw, b := uefitest.New(t), uefi.Boot()
	argv := [2]uintptr{
		address(t, &uefi.UTF16("FS0:\\hello.efi")[0]),
		address(t, &uefi.UTF16("-v")[0]),
	}
	p := &uefi.ShellParameters{Argv: address(t, &argv), Argc: 2}
	image, _ := fw.NewImage(0)
	fw.Handles[image][uefi.ShellParametersGUID] = address(t, p)
	other, _ := fw.NewImage(0)
	if got := b.Args(image); !slices.Equal(got, []string{"FS0:\\hello.efi", "-v"}) {
		t.Errorf("%q", got)
	}
	if got := b.Args(other); got != nil {
		t.Errorf("%q", got)
	}
	p.Argc = 1 << 40
	if got := b.Args(image); got != nil {
		t.Errorf("a count that cannot be: %d arguments", len(got))
	}
}

func TestVariables(t *testing.T) {
	value := []byte("some value")
	claim := uintptr(0)
	fw, r := uefitest.New(t), uefi.Runtime()
	fw.Runtime.GetVariable = abi.Fake(func(a []uintptr) uintptr {
		if uefi.StringAt(a[0], 100) != "Boot0001" ||
			*uefi.At[uefi.GUID](a[1]) != uefi.GlobalVariable {
			return uintptr(uefi.NotFound)
		}
		size := uefi.At[uintptr](a[3])
		if claim != 0 {
			*size = claim
			return uintptr(uefi.BufferTooSmall)
		}
		if *size < uintptr(len(value)) {
			*size = uintptr(len(value))
			return uintptr(uefi.BufferTooSmall)
		}
		copy(unsafe.Slice(uefi.At[byte](a[4]), *size), value)
		*size, *uefi.At[uefi.VariableAttributes](a[2]) = uintptr(len(value)),
			uefi.VariableNonVolatile
		return 0
	})
	fw.Runtime.GetNextVariableName = abi.Fake(func(a []uintptr) uintptr {
		name := unsafe.Slice(uefi.At[uint16](a[1]), *uefi.At[uintptr](a[0])/2)
		if uefi.FromUTF16(name) == "last" {
			return uintptr(uefi.NotFound)
		}
		copy(name, uefi.UTF16("last"))
		*uefi.At[uefi.GUID](a[2]) = uefi.USBIOGUID
		return 0
	})
	if data, attributes, err := r.GetVariable("Boot0001",
		&uefi.GlobalVariable); string(data) != "some value" ||
		attributes != uefi.VariableNonVolatile || err != nil {
		t.Errorf("%q, %v, %v", data, attributes, err)
	}
	if _, _, err := r.GetVariable("Boot0002", &uefi.GlobalVariable); !errors.Is(err,
		uefi.NotFound) {
		t.Error(err)
	}
	claim = 1 << 40
	if _, _, err := r.GetVariable("Boot0001", &uefi.GlobalVariable); !errors.Is(err,
		uefi.BadBufferSize) {
		t.Errorf("a variable of an absurd size: %v", err)
	}
	claim = 1
	if _, _, err := r.GetVariable("Boot0001", &uefi.GlobalVariable); !errors.Is(err,
		uefi.BufferTooSmall) {
		t.Errorf("a variable that never fits: %v", err)
	}
	first, err := r.GetNextVariableName(uefi.VariableName{})
	if err != nil || first != (uefi.VariableName{Name: "last", Vendor: uefi.USBIOGUID}) {
		t.Error(first, err)
	}
	if _, err := r.GetNextVariableName(first); !errors.Is(err, uefi.NotFound) {
		t.Error(err)
	}
}
