package uefi

import (
	"errors"
	"time"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// RuntimeServices are the runtime services (UEFI 2.11, 8), as they are before ExitBootServices.
type RuntimeServices struct{ table *RuntimeServicesTable }

// Table is the raw table, for what has no method here.
func (r *RuntimeServices) Table() *RuntimeServicesTable { return r.table }

// UnspecifiedTimeZone marks a Time that is local time in an unknown time zone (UEFI 2.11, 8.3.1).
const UnspecifiedTimeZone = 0x07ff

// Go is t as Go's time. Local time in an unknown zone counts as UTC. ok is false when a field is
// out of its range.
func (t *Time) Go() (_ time.Time, ok bool) {
	if t.Year < 1900 || t.Year > 9999 || t.Month < 1 || t.Month > 12 || t.Day < 1 || t.Day > 31 ||
		t.Hour > 23 || t.Minute > 59 || t.Second > 59 || t.Nanosecond > 999_999_999 {
		return time.Time{}, false
	}
	zone := time.UTC
	if t.TimeZone != UnspecifiedTimeZone && t.TimeZone != 0 {
		if t.TimeZone < -1440 || t.TimeZone > 1440 {
			return time.Time{}, false
		}
		// Localtime = UTC - TimeZone (UEFI 2.11, 8.3.1): west is positive, in Go it is negative.
		zone = time.FixedZone("", -60*int(t.TimeZone))
	}
	return time.Date(int(t.Year), time.Month(t.Month), int(t.Day), int(t.Hour), int(t.Minute),
		int(t.Second), int(t.Nanosecond), zone), true
}

// GetTime reads the machine's clock (UEFI 2.11, 8.3.1).
func (r *RuntimeServices) GetTime() (time.Time, error) {
	var t Time
	if err := check(abi.Call(r.table.GetTime, uintptr(unsafe.Pointer(&t)), 0)); err != nil {
		return time.Time{}, err
	}
	out, ok := t.Go()
	if !ok {
		return time.Time{}, DeviceError
	}
	return out, nil
}

// SetTime sets the machine's clock to the same instant, in UTC (UEFI 2.11, 8.3.2).
func (r *RuntimeServices) SetTime(to time.Time) error {
	to = to.UTC()
	if to.Year() < 1900 || to.Year() > 9999 {
		return InvalidParameter
	}
	t := Time{Year: uint16(to.Year()), Month: uint8(to.Month()), Day: uint8(to.Day()),
		Hour: uint8(to.Hour()), Minute: uint8(to.Minute()), Second: uint8(to.Second()),
		Nanosecond: uint32(to.Nanosecond())}
	return check(abi.Call(r.table.SetTime, uintptr(unsafe.Pointer(&t))))
}

// ResetSystem resets or switches off the machine and does not return (UEFI 2.11, 8.5.1). On a host
// it returns.
func (r *RuntimeServices) ResetSystem(how ResetType, status Status) {
	abi.Call(r.table.ResetSystem, uintptr(how), uintptr(status), 0, 0)
}

// Bounds of variables (policy; firmware's own limits are 32 KiB to 64 KiB).
const (
	maxVariable     = 1 << 20
	maxVariableName = 1024 // CHAR16
	variableTries   = 4    // a variable may grow between two calls
)

// GetVariable reads a variable (UEFI 2.11, 8.2.1).
func (r *RuntimeServices) GetVariable(
	name string, vendor *GUID,
) (data []byte, attributes VariableAttributes, err error) {
	var out struct {
		size       uintptr
		attributes VariableAttributes
	}
	wide := UTF16(name)
	err = error(BufferTooSmall)
	for try := 0; errors.Is(err, BufferTooSmall) && try < variableTries; try++ {
		if out.size > maxVariable {
			return nil, 0, BadBufferSize
		}
		data = make([]byte, out.size)
		err = check(abi.Call(r.table.GetVariable, uintptr(unsafe.Pointer(unsafe.SliceData(wide))),
			uintptr(unsafe.Pointer(vendor)),
			uintptr(unsafe.Pointer(&out.attributes)), uintptr(unsafe.Pointer(&out.size)),
			uintptr(unsafe.Pointer(unsafe.SliceData(data)))))
	}
	if err != nil {
		return nil, 0, err
	}
	if out.size > uintptr(len(data)) {
		return nil, 0, BadBufferSize
	}
	return data[:out.size], out.attributes, nil
}

// SetVariable writes a variable, or deletes it when data is empty (UEFI 2.11, 8.2.3).
func (r *RuntimeServices) SetVariable(
	name string, vendor *GUID, attributes VariableAttributes, data []byte,
) error {
	wide := UTF16(name)
	return check(abi.Call(r.table.SetVariable, uintptr(unsafe.Pointer(unsafe.SliceData(wide))),
		uintptr(unsafe.Pointer(vendor)),
		uintptr(attributes), uintptr(len(data)), uintptr(unsafe.Pointer(unsafe.SliceData(data)))))
}

// VariableName is the name and the vendor of a variable.
type VariableName struct {
	Name   string
	Vendor GUID
}

// GetNextVariableName is the variable after from, the first for the zero value, NotFound after the
// last (UEFI 2.11, 8.2.2).
func (r *RuntimeServices) GetNextVariableName(from VariableName) (VariableName, error) {
	var out struct {
		size   uintptr
		vendor GUID
		name   [maxVariableName]uint16
	}
	out.vendor = from.Vendor
	if copy(out.name[:], UTF16(from.Name)); out.name[maxVariableName-1] != 0 {
		return VariableName{}, InvalidParameter
	}
	out.size = unsafe.Sizeof(out.name)
	next := &out
	err := check(abi.Call(r.table.GetNextVariableName, uintptr(unsafe.Pointer(&next.size)),
		uintptr(unsafe.Pointer(&next.name)), uintptr(unsafe.Pointer(&next.vendor))))
	if err != nil {
		return VariableName{}, err
	}
	return VariableName{FromUTF16(out.name[:]), out.vendor}, nil
}

// QueryVariableInfo returns the space for variables with these attributes, in bytes (UEFI 2.11,
// 8.2.4).
func (r *RuntimeServices) QueryVariableInfo(
	attributes VariableAttributes,
) (total, free, largest uint64, err error) {
	var out struct{ total, free, largest uint64 }
	err = check(abi.Call(r.table.QueryVariableInfo, uintptr(attributes),
		uintptr(unsafe.Pointer(&out.total)),
		uintptr(unsafe.Pointer(&out.free)), uintptr(unsafe.Pointer(&out.largest))))
	return out.total, out.free, out.largest, err
}
