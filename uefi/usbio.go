package uefi

import (
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// USBIOGUID is EFI_USB_IO_PROTOCOL_GUID (UEFI 2.11, 17.2.4). Each USB interface of a configured
// device is a handle with it.
var USBIOGUID = MustGUID("2b2f68d6-0cd2-44cf-8e8b-bba20b1b5b75")

// USBIOTable is EFI_USB_IO_PROTOCOL (UEFI 2.11, 17.2.4).
type USBIOTable struct {
	ControlTransfer          uintptr
	BulkTransfer             uintptr
	AsyncInterruptTransfer   uintptr
	SyncInterruptTransfer    uintptr
	IsochronousTransfer      uintptr
	AsyncIsochronousTransfer uintptr
	GetDeviceDescriptor      uintptr
	GetConfigDescriptor      uintptr
	GetInterfaceDescriptor   uintptr
	GetEndpointDescriptor    uintptr
	GetStringDescriptor      uintptr
	GetSupportedLanguages    uintptr
	PortReset                uintptr
}

// USBRequest is EFI_USB_DEVICE_REQUEST, a setup packet (UEFI 2.11, 17.2.4; USB 2.0, 9.3).
type USBRequest struct {
	RequestType uint8
	Request     uint8
	Value       uint16
	Index       uint16
	Length      uint16
}

// USBDirection is EFI_USB_DATA_DIRECTION (UEFI 2.11, 17.2.4).
type USBDirection uint32

// Directions of a control transfer's data stage (UEFI 2.11, 17.2.4).
const (
	USBDataIn USBDirection = iota
	USBDataOut
	USBNoData
)

// USBResult is the transfer status that is returned beside the EFI_STATUS (UEFI 2.11, 17.2.4).
type USBResult uint32

// Transfer results, bits (UEFI 2.11, 17.2.4).
const (
	USBNoError     USBResult = 0x000
	USBNotExecuted USBResult = 0x001
	USBStall       USBResult = 0x002
	USBBuffer      USBResult = 0x004
	USBBabble      USBResult = 0x008
	USBNAK         USBResult = 0x010
	USBCRC         USBResult = 0x020
	USBTimeout     USBResult = 0x040
	USBBitStuff    USBResult = 0x080
	USBSystem      USBResult = 0x100
)

// Sizes of the descriptors that firmware copies out (USB 2.0, 9.6.1, 9.6.3, 9.6.5, 9.6.6).
const (
	USBDeviceDescriptorSize    = 18
	USBConfigDescriptorSize    = 9
	USBInterfaceDescriptorSize = 9
	USBEndpointDescriptorSize  = 7
)

// USBIO calls the USB I/O protocol of one interface. It has no state: calls are independent.
type USBIO struct {
	addr  uintptr
	table *USBIOTable
}

// USBIOAt is the protocol at an address.
func USBIOAt(addr uintptr) *USBIO { return &USBIO{addr, tableAt[USBIOTable](addr)} }

// USBTransfer holds the results of a transfer, and the setup packet of a control transfer. It is
// reused so that a transfer allocates nothing, and serves one transfer at a time.
type USBTransfer struct {
	Request USBRequest
	length  uintptr
	result  USBResult
	data    []byte                   // keeps the buffer in place while firmware has its address
	args    [usbTransferArgs]uintptr // of the call, which would allocate a list of its own
}

// usbTransferArgs is the largest number of arguments of a transfer function, UsbControlTransfer's.
const usbTransferArgs = 7

// call calls a transfer function. The objects whose addresses are in args stay alive and in place
// during the call: t escapes to the heap with args, and data with t.
func (t *USBTransfer) call(fn uintptr, data []byte, args ...uintptr) Status {
	t.data, t.result = data, USBNoError
	status := Status(abi.Call(fn, t.args[:copy(t.args[:], args)]...))
	t.data = nil
	return status
}

// Control does the control transfer t.Request within that many milliseconds; 0 means no limit (UEFI
// 2.11, 17.2.4). Firmware does not return the length of the data stage. edk2 returns DeviceError
// with USBNoError for a short one (edk2-stable202605).
func (u *USBIO) Control(
	t *USBTransfer, direction USBDirection, milliseconds uint32, data []byte,
) (USBResult, Status) {
	if len(data) == 0 {
		data = nil // common firmware refuses a buffer for no data
	}
	status := t.call(u.table.ControlTransfer, data, u.addr, uintptr(unsafe.Pointer(&t.Request)),
		uintptr(direction),
		uintptr(milliseconds), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
		uintptr(unsafe.Pointer(&t.result)))
	return t.result, status
}

// Bulk does a bulk transfer in the direction of the endpoint's address within that many
// milliseconds; 0 means no limit (UEFI 2.11, 17.2.4). n is the number of bytes that were
// transferred, also after an error.
func (u *USBIO) Bulk(
	t *USBTransfer, endpoint uint8, milliseconds uint32, data []byte,
) (n int, _ USBResult, _ Status) {
	return u.stream(u.table.BulkTransfer, t, endpoint, milliseconds, data)
}

// Interrupt does a synchronous interrupt transfer (UEFI 2.11, 17.2.4). Arguments and results are
// those of Bulk.
func (u *USBIO) Interrupt(
	t *USBTransfer, endpoint uint8, milliseconds uint32, data []byte,
) (n int, _ USBResult, _ Status) {
	return u.stream(u.table.SyncInterruptTransfer, t, endpoint, milliseconds, data)
}

func (u *USBIO) stream(
	fn uintptr, t *USBTransfer, endpoint uint8, milliseconds uint32, data []byte,
) (int, USBResult, Status) {
	t.length = uintptr(len(data))
	status := t.call(fn, data, u.addr, uintptr(endpoint),
		uintptr(unsafe.Pointer(unsafe.SliceData(data))),
		uintptr(unsafe.Pointer(&t.length)), uintptr(milliseconds),
		uintptr(unsafe.Pointer(&t.result)))
	// A length beyond the buffer is an error of the firmware.
	return int(min(t.length, uintptr(len(data)))), t.result, status
}

// AsyncInterrupt starts or, with on false, ends the polling of an interrupt IN endpoint (UEFI 2.11,
// 17.2.4). callback is the address of a C function (Data, DataLength, Context, Status), which
// firmware calls at TPL_NOTIFY.
func (u *USBIO) AsyncInterrupt(
	endpoint uint8, on bool, milliseconds uint32, length int, callback, context uintptr,
) error {
	return check(abi.Call(u.table.AsyncInterruptTransfer, u.addr, uintptr(endpoint), boolean(on),
		uintptr(milliseconds),
		uintptr(length), callback, context))
}

// DeviceDescriptor is the device descriptor (UEFI 2.11, 17.2.4).
func (u *USBIO) DeviceDescriptor() (d [USBDeviceDescriptorSize]byte, err error) {
	err = check(abi.Call(u.table.GetDeviceDescriptor, u.addr, uintptr(unsafe.Pointer(&d))))
	return d, err
}

// ConfigDescriptor is the descriptor of the active configuration without what follows it (UEFI
// 2.11, 17.2.4).
func (u *USBIO) ConfigDescriptor() (d [USBConfigDescriptorSize]byte, err error) {
	err = check(abi.Call(u.table.GetConfigDescriptor, u.addr, uintptr(unsafe.Pointer(&d))))
	return d, err
}

// InterfaceDescriptor is the descriptor of this interface in its current setting (UEFI 2.11,
// 17.2.4).
func (u *USBIO) InterfaceDescriptor() (d [USBInterfaceDescriptorSize]byte, err error) {
	err = check(abi.Call(u.table.GetInterfaceDescriptor, u.addr, uintptr(unsafe.Pointer(&d))))
	return d, err
}

// EndpointDescriptor is the descriptor of an endpoint of this interface, NotFound after the last
// (UEFI 2.11, 17.2.4).
func (u *USBIO) EndpointDescriptor(index uint8) (d [USBEndpointDescriptorSize]byte, err error) {
	err = check(abi.Call(u.table.GetEndpointDescriptor, u.addr, uintptr(index),
		uintptr(unsafe.Pointer(&d))))
	return d, err
}

// maxUSBString is the longest string that a descriptor can hold, in CHAR16 (USB 2.0, 9.6.7: bLength
// is one byte).
const maxUSBString = (255 - 2) / 2

// String is a string of the device in one language (UEFI 2.11, 17.2.4). Firmware asks the device
// each time.
func (u *USBIO) String(language uint16, index uint8) (string, error) {
	var text uintptr
	err := check(abi.Call(u.table.GetStringDescriptor, u.addr, uintptr(language), uintptr(index),
		uintptr(unsafe.Pointer(&text))))
	if err != nil {
		return "", err
	}
	s := StringAt(text, maxUSBString)
	Boot().FreePool(text)
	return s, nil
}

// Languages are the languages of the device's strings (UEFI 2.11, 17.2.4).
func (u *USBIO) Languages() ([]uint16, error) {
	var out struct {
		table uintptr
		size  uint16
	}
	err := check(abi.Call(u.table.GetSupportedLanguages, u.addr,
		uintptr(unsafe.Pointer(&out.table)), uintptr(unsafe.Pointer(&out.size))))
	if err != nil || out.table == 0 {
		return nil, err
	}
	return append([]uint16(nil), unsafe.Slice(At[uint16](out.table), out.size/2)...), nil
}

// PortReset resets the device and configures it again as it was (UEFI 2.11, 17.2.4).
func (u *USBIO) PortReset() error { return check(abi.Call(u.table.PortReset, u.addr)) }
