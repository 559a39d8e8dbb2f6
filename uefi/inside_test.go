//go:build tamago

package uefi_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
)

// These tests run inside firmware and ask it.

func TestTablesAreThoseOfFirmware(t *testing.T) {
	st, b, r := uefi.System(), uefi.Boot().Table(), uefi.Runtime().Table()
	if st.Header.Signature != uefi.SystemTableSignature ||
		b.Header.Signature != uefi.BootServicesSignature ||
		r.Header.Signature != uefi.RuntimeServicesSignature {
		t.Errorf("signatures %x, %x, %x", st.Header.Signature, b.Header.Signature,
			r.Header.Signature)
	}
	if uint32(unsafe.Sizeof(*st)) != st.Header.HeaderSize ||
		uint32(unsafe.Sizeof(*b)) > b.Header.HeaderSize ||
		uint32(unsafe.Sizeof(*r)) > r.Header.HeaderSize {
		t.Errorf("sizes %d, %d, %d", st.Header.HeaderSize, b.Header.HeaderSize, r.Header.HeaderSize)
	}
	if vendor, _ := uefi.Firmware(); vendor == "" {
		t.Error("firmware has no vendor")
	}
	if len(uefi.ConfigurationTables()) == 0 {
		t.Error("no configuration tables")
	}
}

func TestMemory(t *testing.T) {
	b := uefi.Boot()
	before, err := b.GetMemoryMap()
	if err != nil || before.Pages(uefi.ConventionalMemory) == 0 {
		t.Fatalf("%v, %v", before, err)
	}
	addr, err := b.AllocatePages(uefi.AllocateAnyPages, uefi.LoaderData, 16, 0)
	if err != nil || addr%uefi.PageSize != 0 {
		t.Fatalf("%#x, %v", addr, err)
	}
	after, err := b.GetMemoryMap()
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Pages(uefi.LoaderData) - before.Pages(uefi.LoaderData); got != 16 {
		t.Errorf("%d pages more", got)
	}
	if err := b.FreePages(addr, 16); err != nil {
		t.Error(err)
	}
	if err := b.FreePages(addr, 16); err == nil {
		t.Error("freed twice")
	}
	if _, err := b.AllocatePages(uefi.AllocateAddress, uefi.LoaderData, 1, 1<<50); err == nil {
		t.Error("memory where there is none")
	}
	p, err := b.AllocatePool(uefi.BootServicesData, 100)
	if err != nil || p%8 != 0 {
		t.Fatalf("%#x, %v", p, err)
	}
	if err := b.FreePool(p); err != nil {
		t.Error(err)
	}
}

func TestProtocolsComeAndGo(t *testing.T) {
	b := uefi.Boot()
	one, two := uefi.GUID{A: 0x7461, D: [8]byte{1}}, uefi.GUID{A: 0x7461, D: [8]byte{2}}
	iface, err := b.AllocatePool(uefi.BootServicesData, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer b.FreePool(iface)
	if all, err := b.LocateHandles(&one); all != nil || err != nil {
		t.Fatalf("before: %v, %v", all, err)
	}
	ev, err := b.CreateEvent(0, uefi.TPLCallback, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.CloseEvent(ev)
	if _, err := b.RegisterProtocolNotify(&one, ev); err != nil {
		t.Error(err)
	}
	h, err := b.InstallProtocols(0, uefi.Protocol{GUID: &one, Interface: iface},
		uefi.Protocol{GUID: &two, Interface: iface + 8})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := b.LocateHandles(&one); len(all) != 1 || all[0] != h || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if got, err := b.HandleProtocol(h, &two); got != iface+8 || err != nil {
		t.Errorf("%#x, %v", got, err)
	}
	if got, err := b.LocateProtocol(&two); got != iface+8 || err != nil {
		t.Errorf("%#x, %v", got, err)
	}
	if guids, err := b.ProtocolsPerHandle(h); len(guids) != 2 || err != nil {
		t.Errorf("%v, %v", guids, err)
	}
	if _, err := b.InstallProtocols(h, uefi.Protocol{GUID: &two,
		Interface: iface}); err != error(uefi.InvalidParameter) {
		t.Errorf("a protocol twice: %v", err)
	}
	self := uefi.ImageHandle()
	if got, err := b.OpenProtocol(h, &one, self, h, uefi.OpenByDriver); got != iface || err != nil {
		t.Errorf("%#x, %v", got, err)
	}
	if got, err := b.OpenProtocol(h, &one, self, h, uefi.OpenByDriver); got != iface ||
		err != error(uefi.AlreadyStarted) {
		t.Errorf("opened twice: %#x, %v", got, err)
	}
	info, err := b.OpenProtocolInformation(h, &one)
	found := false
	for _, e := range info {
		found = found || e.Agent == self && e.Controller == h && e.Attributes == uefi.OpenByDriver
	}
	if !found || err != nil {
		t.Errorf("%+v, %v", info, err)
	}
	if err := b.CloseProtocol(h, &one, self, h); err != nil {
		t.Error(err)
	}
	if err := b.UninstallProtocols(h, uefi.Protocol{GUID: &one, Interface: iface},
		uefi.Protocol{GUID: &two, Interface: iface + 8}); err != nil {
		t.Error(err)
	}
	if _, err := b.HandleProtocol(h, &one); err == nil {
		t.Error("the handle is still there")
	}
}

func TestInstallProtocolsRollsBack(t *testing.T) {
	b := uefi.Boot()
	one := uefi.GUID{A: 0x7461, D: [8]byte{3}}
	iface, err := b.AllocatePool(uefi.BootServicesData, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer b.FreePool(iface)
	path, _ := b.HandleProtocol(uefi.System().ConsoleOutHandle, &uefi.DevicePathGUID)
	if lo, err := b.LoadedImage(uefi.ImageHandle()); path == 0 && err == nil {
		path, _ = b.HandleProtocol(lo.DeviceHandle, &uefi.DevicePathGUID)
	}
	if path == 0 {
		t.Fatal("no device path on this machine")
	}
	if _, err := b.InstallProtocols(0, uefi.Protocol{GUID: &one, Interface: iface},
		uefi.Protocol{GUID: &uefi.DevicePathGUID,
			Interface: path}); err != error(uefi.AlreadyStarted) {
		t.Errorf("a device path twice: %v", err)
	}
	if all, err := b.LocateHandles(&one); len(all) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

func TestTimerEvent(t *testing.T) {
	b := uefi.Boot()
	ev, err := b.CreateEvent(uefi.EventTimer, uefi.TPLCallback, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetTimer(ev, uefi.TimerRelative, time.Hour); err != nil {
		t.Fatal(err)
	}
	if signaled, err := b.CheckEvent(ev); signaled || err != nil {
		t.Errorf("at once: %v, %v", signaled, err)
	}
	if err := b.SetTimer(ev, uefi.TimerRelative, 30*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if i, err := b.WaitForEvent(ev); i != 0 || err != nil {
		t.Errorf("%d, %v", i, err)
	}
	if err := b.CloseEvent(ev); err != nil {
		t.Error(err)
	}
	if old := b.RaiseTPL(uefi.TPLCallback); old != uefi.TPLApplication {
		t.Errorf("at TPL %d", old)
	} else {
		b.RestoreTPL(old)
	}
}

func TestVariablesOfFirmware(t *testing.T) {
	r := uefi.Runtime()
	name, vendor := "TamaccidTest", uefi.GUID{A: 0x7461, D: [8]byte{4}}
	value := bytes.Repeat([]byte("value"), 100)
	const attributes = uefi.VariableBootServiceAccess
	if err := r.SetVariable(name, &vendor, attributes, value); err != nil {
		t.Fatal(err)
	}
	if got, a, err := r.GetVariable(name, &vendor); !bytes.Equal(got, value) || a != attributes ||
		err != nil {
		t.Errorf("%q, %v, %v", got, a, err)
	}
	found, count := false, 0
	for at := (uefi.VariableName{}); count < 1000; count++ {
		next, err := r.GetNextVariableName(at)
		if errors.Is(err, uefi.NotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found = found || next == (uefi.VariableName{Name: name, Vendor: vendor})
		at = next
	}
	if !found {
		t.Errorf("not among %d variables", count)
	}
	if err := r.SetVariable(name, &vendor, attributes, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := r.GetVariable(name, &vendor); err != error(uefi.NotFound) {
		t.Errorf("deleted: %v", err)
	}
	if now, err := r.GetTime(); err != nil || now.Year() < 2024 {
		t.Errorf("%v, %v", now, err)
	}
}

func TestThisImage(t *testing.T) {
	b := uefi.Boot()
	l, err := b.LoadedImage(uefi.ImageHandle())
	if err != nil || l.ImageBase == 0 || l.ImageSize == 0 || l.SystemTable == 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if file := l.File(); !strings.HasSuffix(strings.ToLower(file.String()), ".efi") {
		t.Errorf("file %q", file)
	}
	path := b.DevicePathOf(l.DeviceHandle)
	if !path.Complete() || !strings.HasPrefix(path.String(), "PciRoot(0x0)/Pci(") {
		t.Errorf("device %q", path)
	}
	if h, rest, err := b.LocateDevicePath(&uefi.DevicePathGUID, path); h != l.DeviceHandle ||
		!rest.IsEnd() || err != nil {
		t.Errorf("%#x, %q, %v", h, rest, err)
	}
	root, err := b.OpenVolume(l.DeviceHandle)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := root.Open(l.File().String(), uefi.FileRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var head [2]byte
	if n, err := f.Read(head[:]); n != 2 || err != nil || string(head[:]) != "MZ" {
		t.Errorf("%d, %v, %q", n, err, head)
	}
	if args := b.Args(uefi.ImageHandle()); len(args) == 0 {
		t.Log("not started by a Shell")
	}
}

func TestImageThatIsNone(t *testing.T) {
	if h, err := uefi.Boot().LoadImage(false, uefi.ImageHandle(), nil,
		[]byte("MZ and no more")); err == nil || h != 0 {
		t.Errorf("%#x, %v", h, err)
	}
}

func TestConsole(t *testing.T) {
	if n, err := uefi.ConOut().WriteString("Gr\u00fc\u00dfe vom Test\n"); err != nil || n == 0 {
		t.Error(n, err)
	}
	if columns, rows, err := uefi.ConOut().Size(); columns < 80 || rows < 25 || err != nil {
		t.Errorf("%d x %d, %v", columns, rows, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if key, err := uefi.ConIn().ReadKey(ctx); err != nil &&
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", key, err)
	}
}

func TestUSBDevicesAreDescribed(t *testing.T) {
	b := uefi.Boot()
	all, err := b.LocateHandles(&uefi.USBIOGUID)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		addr, err := b.HandleProtocol(h, &uefi.USBIOGUID)
		if err != nil {
			t.Fatal(err)
		}
		u := uefi.USBIOAt(addr)
		d, err := u.DeviceDescriptor()
		if err != nil || d[0] != uefi.USBDeviceDescriptorSize || d[1] != 1 {
			t.Errorf("% x, %v", d, err)
		}
		setting, err := u.InterfaceDescriptor()
		if err != nil || setting[1] != 4 {
			t.Errorf("% x, %v", setting, err)
		}
		for i := range setting[4] {
			if e, err := u.EndpointDescriptor(i); err != nil || e[1] != 5 {
				t.Errorf("% x, %v", e, err)
			}
		}
		if _, err := u.EndpointDescriptor(setting[4]); err != error(uefi.NotFound) {
			t.Errorf("an endpoint too many: %v", err)
		}
		languages, err := u.Languages()
		if err != nil {
			t.Error(err)
		}
		name := ""
		if len(languages) > 0 && d[15] != 0 {
			if name, err = u.String(languages[0], d[15]); err != nil || name == "" {
				t.Errorf("%q, %v", name, err)
			}
		}
		t.Logf("%s: %q, class %#x", b.DevicePathOf(h), name, setting[5])
	}
}
