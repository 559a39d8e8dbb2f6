package uefi

import (
	"reflect"
	"testing"
	"unsafe"
)

// layouts are the structures that cross into firmware, with the offset and size of each member on a
// 64-bit processor (UEFI 2.11, 2.3.1: natural alignment, UINTN and pointers of 8 bytes). Clauses
// are of UEFI 2.11.
var layouts = []struct {
	v       any
	size    uintptr
	members []member
}{
	// 4.2.1
	{TableHeader{}, 24, []member{
		{"Signature", 0x0, 8}, {"Revision", 0x8, 4}, {"HeaderSize", 0xc, 4}, {"CRC32", 0x10,
			4}, {"Reserved", 0x14, 4},
	}},
	// 4.3.1
	{SystemTable{}, 120, []member{
		{"Header", 0x0, 24}, {"FirmwareVendor", 0x18, 8}, {"FirmwareRevision", 0x20,
			4}, {"ConsoleInHandle", 0x28, 8},
		{"ConIn", 0x30, 8}, {"ConsoleOutHandle", 0x38, 8}, {"ConOut", 0x40,
			8}, {"StandardErrorHandle", 0x48, 8},
		{"StdErr", 0x50, 8}, {"RuntimeServices", 0x58, 8}, {"BootServices", 0x60,
			8}, {"NumberOfTableEntries", 0x68, 8},
		{"ConfigurationTable", 0x70, 8},
	}},
	// 4.4.1
	{BootServicesTable{}, 376, []member{
		{"Header", 0x0, 24}, {"RaiseTPL", 0x18, 8}, {"RestoreTPL", 0x20, 8}, {"AllocatePages", 0x28,
			8},
		{"FreePages", 0x30, 8}, {"GetMemoryMap", 0x38, 8}, {"AllocatePool", 0x40, 8}, {"FreePool",
			0x48, 8},
		{"CreateEvent", 0x50, 8}, {"SetTimer", 0x58, 8}, {"WaitForEvent", 0x60, 8}, {"SignalEvent",
			0x68, 8},
		{"CloseEvent", 0x70, 8}, {"CheckEvent", 0x78, 8}, {"InstallProtocolInterface", 0x80, 8},
		{"ReinstallProtocolInterface", 0x88, 8}, {"UninstallProtocolInterface", 0x90,
			8}, {"HandleProtocol", 0x98, 8},
		{"Reserved", 0xa0, 8}, {"RegisterProtocolNotify", 0xa8, 8}, {"LocateHandle", 0xb0, 8},
		{"LocateDevicePath", 0xb8, 8}, {"InstallConfigurationTable", 0xc0, 8}, {"LoadImage", 0xc8,
			8},
		{"StartImage", 0xd0, 8}, {"Exit", 0xd8, 8}, {"UnloadImage", 0xe0, 8}, {"ExitBootServices",
			0xe8, 8},
		{"GetNextMonotonicCount", 0xf0, 8}, {"Stall", 0xf8, 8}, {"SetWatchdogTimer", 0x100, 8},
		{"ConnectController", 0x108, 8}, {"DisconnectController", 0x110, 8}, {"OpenProtocol", 0x118,
			8},
		{"CloseProtocol", 0x120, 8}, {"OpenProtocolInformation", 0x128, 8}, {"ProtocolsPerHandle",
			0x130, 8},
		{"LocateHandleBuffer", 0x138, 8}, {"LocateProtocol", 0x140,
			8}, {"InstallMultipleProtocolInterfaces", 0x148, 8},
		{"UninstallMultipleProtocolInterfaces", 0x150, 8}, {"CalculateCrc32", 0x158, 8}, {"CopyMem",
			0x160, 8},
		{"SetMem", 0x168, 8}, {"CreateEventEx", 0x170, 8},
	}},
	// 4.5.1
	{RuntimeServicesTable{}, 136, []member{
		{"Header", 0x0, 24}, {"GetTime", 0x18, 8}, {"SetTime", 0x20, 8}, {"GetWakeupTime", 0x28, 8},
		{"SetWakeupTime", 0x30, 8}, {"SetVirtualAddressMap", 0x38, 8}, {"ConvertPointer", 0x40, 8},
		{"GetVariable", 0x48, 8}, {"GetNextVariableName", 0x50, 8}, {"SetVariable", 0x58, 8},
		{"GetNextHighMonotonicCount", 0x60, 8}, {"ResetSystem", 0x68, 8}, {"UpdateCapsule", 0x70,
			8},
		{"QueryCapsuleCapabilities", 0x78, 8}, {"QueryVariableInfo", 0x80, 8},
	}},
	// 4.6.1
	{ConfigurationTable{}, 24, []member{
		{"VendorGUID", 0x0, 16}, {"VendorTable", 0x10, 8},
	}},
	// 7.2.3
	{MemoryDescriptor{}, 40, []member{
		{"Type", 0x0, 4}, {"PhysicalStart", 0x8, 8}, {"VirtualStart", 0x10, 8}, {"Pages", 0x18,
			8}, {"Attribute", 0x20, 8},
	}},
	// 7.3.11
	{OpenProtocolInformationEntry{}, 24, []member{
		{"Agent", 0x0, 8}, {"Controller", 0x8, 8}, {"Attributes", 0x10, 4}, {"OpenCount", 0x14, 4},
	}},
	// 8.3.1
	{Time{}, 16, []member{
		{"Year", 0x0, 2}, {"Month", 0x2, 1}, {"Day", 0x3, 1}, {"Hour", 0x4, 1}, {"Minute", 0x5,
			1}, {"Second", 0x6, 1},
		{"Nanosecond", 0x8, 4}, {"TimeZone", 0xc, 2}, {"Daylight", 0xe, 1},
	}},
	// 8.3.1
	{TimeCapabilities{}, 12, []member{
		{"Resolution", 0x0, 4}, {"Accuracy", 0x4, 4}, {"SetsToZero", 0x8, 1},
	}},
	// appendix A
	{GUID{}, 16, []member{
		{"A", 0x0, 4}, {"B", 0x4, 2}, {"C", 0x6, 2}, {"D", 0x8, 8},
	}},
	// 9.1.1
	{LoadedImage{}, 96, []member{
		{"Revision", 0x0, 4}, {"ParentHandle", 0x8, 8}, {"SystemTable", 0x10, 8}, {"DeviceHandle",
			0x18, 8},
		{"FilePath", 0x20, 8}, {"Reserved", 0x28, 8}, {"LoadOptionsSize", 0x30, 4}, {"LoadOptions",
			0x38, 8},
		{"ImageBase", 0x40, 8}, {"ImageSize", 0x48, 8}, {"ImageCodeType", 0x50,
			4}, {"ImageDataType", 0x54, 4},
		{"Unload", 0x58, 8},
	}},
	// 11.1
	{DriverBinding{}, 48, []member{
		{"Supported", 0x0, 8}, {"Start", 0x8, 8}, {"Stop", 0x10, 8}, {"Version", 0x18,
			4}, {"ImageHandle", 0x20, 8},
		{"DriverBindingHandle", 0x28, 8},
	}},
	// 11.5
	{ComponentName2{}, 24, []member{
		{"GetDriverName", 0x0, 8}, {"GetControllerName", 0x8, 8}, {"SupportedLanguages", 0x10, 8},
	}},
	// 11.8
	{DriverSupportedEFIVersion{}, 8, []member{
		{"Length", 0x0, 4}, {"FirmwareVersion", 0x4, 4},
	}},
	// 12.3.1
	{TextInputTable{}, 24, []member{
		{"Reset", 0x0, 8}, {"ReadKeyStroke", 0x8, 8}, {"WaitForKey", 0x10, 8},
	}},
	// 12.2.1
	{TextInputExTable{}, 48, []member{
		{"Reset", 0x0, 8}, {"ReadKeyStrokeEx", 0x8, 8}, {"WaitForKeyEx", 0x10, 8}, {"SetState",
			0x18, 8},
		{"RegisterKeyNotify", 0x20, 8}, {"UnregisterKeyNotify", 0x28, 8},
	}},
	// 12.3.3
	{Key{}, 4, []member{
		{"Scan", 0x0, 2}, {"Char", 0x2, 2},
	}},
	// 12.2.3
	{KeyState{}, 8, []member{
		{"Shift", 0x0, 4}, {"Toggle", 0x4, 1},
	}},
	// 12.2.3
	{KeyData{}, 12, []member{
		{"Key", 0x0, 4}, {"State", 0x4, 8},
	}},
	// 12.4.1
	{TextOutputTable{}, 80, []member{
		{"Reset", 0x0, 8}, {"OutputString", 0x8, 8}, {"TestString", 0x10, 8}, {"QueryMode", 0x18,
			8}, {"SetMode", 0x20, 8},
		{"SetAttribute", 0x28, 8}, {"ClearScreen", 0x30, 8}, {"SetCursorPosition", 0x38,
			8}, {"EnableCursor", 0x40, 8},
		{"Mode", 0x48, 8},
	}},
	// 12.4.1
	{TextOutputMode{}, 24, []member{
		{"MaxMode", 0x0, 4}, {"Mode", 0x4, 4}, {"Attribute", 0x8, 4}, {"CursorColumn", 0xc,
			4}, {"CursorRow", 0x10, 4},
		{"CursorVisible", 0x14, 1},
	}},
	// 17.2.4
	{USBIOTable{}, 104, []member{
		{"ControlTransfer", 0x0, 8}, {"BulkTransfer", 0x8, 8}, {"AsyncInterruptTransfer", 0x10, 8},
		{"SyncInterruptTransfer", 0x18, 8}, {"IsochronousTransfer", 0x20,
			8}, {"AsyncIsochronousTransfer", 0x28, 8},
		{"GetDeviceDescriptor", 0x30, 8}, {"GetConfigDescriptor", 0x38,
			8}, {"GetInterfaceDescriptor", 0x40, 8},
		{"GetEndpointDescriptor", 0x48, 8}, {"GetStringDescriptor", 0x50,
			8}, {"GetSupportedLanguages", 0x58, 8},
		{"PortReset", 0x60, 8},
	}},
	// 17.2.4
	{USBRequest{}, 8, []member{
		{"RequestType", 0x0, 1}, {"Request", 0x1, 1}, {"Value", 0x2, 2}, {"Index", 0x4,
			2}, {"Length", 0x6, 2},
	}},
	// 37.5
	{RNGTable{}, 16, []member{
		{"GetInfo", 0x0, 8}, {"GetRNG", 0x8, 8},
	}},
	// UEFI Shell 2.2, 2.3
	{ShellParameters{}, 40, []member{
		{"Argv", 0x0, 8}, {"Argc", 0x8, 8}, {"StdIn", 0x10, 8}, {"StdOut", 0x18, 8}, {"StdErr",
			0x20, 8},
	}},
	// 14.4
	{PCIIOTable{}, 160, []member{
		{"PollMem", 0x0, 8}, {"PollIO", 0x8, 8}, {"Mem", 0x10, 16}, {"IO", 0x20, 16}, {"Config",
			0x30, 16},
		{"CopyMem", 0x40, 8}, {"Map", 0x48, 8}, {"Unmap", 0x50, 8}, {"AllocateBuffer", 0x58,
			8}, {"FreeBuffer", 0x60, 8},
		{"Flush", 0x68, 8}, {"GetLocation", 0x70, 8}, {"Attributes", 0x78, 8}, {"GetBarAttrs", 0x80,
			8},
		{"SetBarAttrs", 0x88, 8}, {"ROMSize", 0x90, 8}, {"ROMImage", 0x98, 8},
	}},
	// 13.4.1
	{SimpleFileSystemTable{}, 16, []member{
		{"Revision", 0x0, 8}, {"OpenVolume", 0x8, 8},
	}},
	// 13.5.1
	{FileTable{}, 120, []member{
		{"Revision", 0x0, 8}, {"Open", 0x8, 8}, {"Close", 0x10, 8}, {"Delete", 0x18, 8}, {"Read",
			0x20, 8},
		{"Write", 0x28, 8}, {"GetPosition", 0x30, 8}, {"SetPosition", 0x38, 8}, {"GetInfo", 0x40,
			8}, {"SetInfo", 0x48, 8},
		{"Flush", 0x50, 8}, {"OpenEx", 0x58, 8}, {"ReadEx", 0x60, 8}, {"WriteEx", 0x68,
			8}, {"FlushEx", 0x70, 8},
	}},
}

type member struct {
	name         string
	offset, size uintptr
}

func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the table is that of 64-bit processors")
	}
	for _, l := range layouts {
		typ := reflect.TypeOf(l.v)
		if typ.Size() != l.size {
			t.Errorf("%s has %d bytes, want %d", typ.Name(), typ.Size(), l.size)
		}
		named := 0
		for i := range typ.NumField() {
			if typ.Field(i).Name != "_" {
				named++
			}
		}
		if named != len(l.members) {
			t.Errorf("%s has %d members, want %d", typ.Name(), named, len(l.members))
		}
		for _, m := range l.members {
			f, ok := typ.FieldByName(m.name)
			if !ok || f.Offset != m.offset || f.Type.Size() != m.size {
				t.Errorf("%s.%s is at %#x with %d bytes, want %#x and %d", typ.Name(), m.name,
					f.Offset, f.Type.Size(), m.offset, m.size)
			}
		}
	}
}
