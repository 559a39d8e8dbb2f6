// Package usbio is a usb.Transport over EFI_USB_IO_PROTOCOL: one interface of a USB device that
// firmware has enumerated and that its own drivers go on to use.
//
// Specifications: UEFI 2.11, 17.1 and 17.2 ("UEFI"); Universal Serial Bus
// Specification 2.0 ("USB 2.0").
//
// Firmware's transfers are synchronous: no goroutine runs during one, and nothing but its own time
// limit ends it. Therefore no call waits without a limit, and a long wait for data is divided:
// between the parts the context is checked, other goroutines and firmware's events run, and the
// device's presence is checked.
package usbio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// maxTransfer is the longest single transfer: edk2's XhciDxe divides a longer one into transfer
// requests of 64 KiB (XhcCreateTransferTrb), of which a short answer completes only the first ones.
const maxTransfer = 65536

// Limits (policy, where no clause is given).
const (
	// firstWait is the longest first wait for data. Its end may cut an answer in two, of which some
	// controllers' drivers then lose the beginning, so it is longer than most commands of a card
	// take. Together with probeLimit it is less than 2 s, after which a device whose removal
	// firmware has noticed counts as removed.
	firstWait = 1400 * time.Millisecond
	// laterWait is the time of each later wait. It asks for a single packet, which cannot be cut.
	laterWait = time.Second
	// byteTime is how long a byte may take to be written. At full speed it takes about 1 us (USB
	// 2.0, 5.8.4).
	byteTime = 50 * time.Microsecond
	// silence is the time without data from a device after which its presence is checked.
	silence = time.Second
	// controlLimit is the limit of a control transfer for which the caller gave none (USB 2.0,
	// 9.2.6.1: 5 s at most).
	controlLimit = 5 * time.Second
	// outLimit is the limit of a bulk OUT transfer for which the caller gave none (policy).
	outLimit = 30 * time.Second
	// requestLimit is for a standard request without a data stage: ten times what the device has
	// (USB 2.0, 9.2.6.4: 50 ms).
	requestLimit = 500 * time.Millisecond
)

// ErrUsage reports an endpoint that the interface does not have, or a buffer of a wrong size.
var ErrUsage = errors.New("usbio: no such endpoint or bad buffer size")

// Transport is one interface of one device.
type Transport struct {
	io      *uefi.USBIO
	device  usb.Device
	options Options

	pipes map[uint8]*pipe

	controlling sync.Mutex // holds control
	control     uefi.USBTransfer

	probing sync.Mutex // holds probe, probed and mute
	probe   uefi.USBTransfer
	probed  [2]byte       // the answer to GET_STATUS (USB 2.0, 9.4.5)
	mute    time.Duration // of the first request without an answer, if later than answered

	start    time.Time
	answered atomic.Int64 // when the device was last known to be there, in nanoseconds since start
	asked    atomic.Int64 // when it was last asked
	gone     atomic.Bool
	closed   atomic.Bool

	listener *listener // nil where firmware polls nothing
}

// pipe is an endpoint other than the control endpoint.
type pipe struct {
	transfer uefi.USBTransfer
	kind     usb.TransferType
	packet   int
	interval uint32 // of an interrupt endpoint, in milliseconds

	bInterval uint8
}

var _ usb.Transport = (*Transport)(nil)

// Options are the settings of a Transport. Each may be nil.
type Options struct {
	// Setting selects the alternate setting of the interface with this number. With ok false it
	// stays in its current setting. config is the configuration descriptor with all that follows
	// it.
	Setting func(config []byte, number uint8) (alt uint8, ok bool)
	// Pause is called between transfers: firmware's events may run in it. It reports whether
	// firmware has called Stop for the device since, as it does for a removed one. Then the
	// device's presence is checked: it counts as removed unless it answers.
	Pause func() (stop bool)
}

// New is the transport of the interface with that handle, on which the caller has opened
// EFI_USB_IO_PROTOCOL at address protocol, by driver or for an application exclusively. It reads
// the descriptors and strings of the device, selects an alternate setting where Options.Setting
// returns another one than the current, and fails when ctx ends before that; strings that are late
// are left out. After Close the caller closes the protocol; firmware must not uninstall it before.
func New(
	ctx context.Context, controller uefi.Handle, protocol uintptr, o Options,
) (*Transport, error) {
	if protocol == 0 {
		return nil, uefi.InvalidParameter
	}
	if o.Pause == nil {
		o.Pause = func() bool { return false }
	}
	t := &Transport{
		io: uefi.USBIOAt(protocol), pipes: map[uint8]*pipe{}, start: time.Now(), options: o,
	}
	if err := t.enumerate(ctx, uefi.Boot().DevicePathOf(controller)); err != nil {
		return nil, err
	}
	return t, nil
}

// Configuration reads the descriptor of the active configuration of the device whose
// EFI_USB_IO_PROTOCOL is at that address, and nothing else. It is for Supported.
func Configuration(ctx context.Context, protocol uintptr) ([]byte, error) {
	t := &Transport{io: uefi.USBIOAt(protocol), start: time.Now()}
	descriptor, err := t.io.DeviceDescriptor()
	if err != nil {
		return nil, fmt.Errorf("usbio: device descriptor: %w", err)
	}
	t.device.Descriptor = descriptor[:]
	return t.configuration(ctx)
}

// Device describes the device.
func (t *Transport) Device() *usb.Device { return &t.device }

// MaxIn is the size of the largest buffer for In, in bytes.
func (t *Transport) MaxIn() int { return maxTransfer }

// Close makes every later call, and a waiting one at its next pause, end with usb.ErrGone. Nothing
// is sent to the device. The error is that of Unlisten.
func (t *Transport) Close() error {
	t.closed.Store(true)
	return t.Unlisten()
}

// ready is called before each transfer, and returns an error if there can be none.
func (t *Transport) ready(ctx context.Context) error {
	if !t.gone.Load() && !t.closed.Load() && t.options.Pause() && t.present() != there {
		t.gone.Store(true)
	}
	if t.gone.Load() || t.closed.Load() {
		return usb.ErrGone
	}
	return ctx.Err()
}

// Control does one control transfer. UEFI does not return the length of the data stage. Firmware
// that reports a short one as an error is supported: n is then the number of bytes that arrived,
// and less if they end in fill bytes.
func (t *Transport) Control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (n int, err error) {
	if int(setup.Length) > len(data) {
		return 0, fmt.Errorf("%w: %d bytes for a data stage of %d", ErrUsage, len(data),
			setup.Length)
	}
	if err := t.ready(ctx); err != nil {
		return 0, err
	}
	t.controlling.Lock()
	defer t.controlling.Unlock()
	return t.request(&t.control, setup, data[:setup.Length], newLimit(ctx, timeout, controlLimit))
}

// fill marks the bytes of a control transfer's buffer that the device has not written: no status
// word, length or string ends with it.
const fill = 0xed

// certain is how many fill bytes at the end of a buffer are no data (policy).
const certain = 4

// written is how many bytes of data the device has written over fill.
func written(data []byte) (n int) {
	for n = len(data); n > 0 && data[n-1] == fill; n-- {
	}
	return n
}

func (t *Transport) request(
	x *uefi.USBTransfer, setup usb.Setup, data []byte, until limit,
) (n int, err error) {
	direction := uefi.USBDataOut
	switch {
	case len(data) == 0:
		direction = uefi.USBNoData
	case setup.In():
		direction = uefi.USBDataIn
		for i := range data {
			data[i] = fill
		}
	}
	x.Request = uefi.USBRequest{RequestType: setup.RequestType, Request: setup.Request,
		Value: setup.Value, Index: setup.Index, Length: setup.Length}
	wait := until.left()
	if wait <= 0 {
		return 0, until.expired()
	}
	began := time.Now()
	result, status := t.io.Control(x, direction, milliseconds(wait), data)
	if status == uefi.DeviceError && result == uefi.USBNoError && direction == uefi.USBDataIn {
		// The transfer succeeded and was shorter than setup.Length.
		n = written(data)
		clear(data[n:])
		t.noteAnswer()
		return n, nil
	}
	if err := t.outcome(x, status, result, time.Since(began) >= wait, until); err != nil {
		return 0, err
	}
	if n = written(data); direction != uefi.USBDataIn || len(data)-n < certain {
		return len(data), nil
	}
	clear(data[n:]) // firmware that does not count at all
	return n, nil
}

// In reads one transfer.
func (t *Transport) In(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (n int, err error) {
	p := t.pipes[endpoint]
	if p == nil || endpoint&usb.DirIn == 0 || len(buf) == 0 || len(buf) > maxTransfer ||
		len(buf)%p.packet != 0 {
		return 0, fmt.Errorf("%w: %d bytes from endpoint %#02x", ErrUsage, len(buf), endpoint)
	}
	until := newLimit(ctx, timeout, 0)
	if l := t.listener; l != nil && l.endpoint == endpoint && l.on {
		return 0, usb.ErrTimeout // firmware reads it, see Notifications
	}
	want, wait := buf, firstWait
	for {
		if err := t.ready(ctx); err != nil {
			return n, err
		}
		left := until.left()
		if left <= 0 {
			return n, until.expired()
		}
		if n > 0 {
			want, wait = buf[n:], firstWait // the rest of an answer, which is on its way
		}
		got, err := t.stream(p, endpoint, want, min(wait, left), until)
		n += got
		switch {
		case err == nil && got == 1 && t.present() != there:
			// edk2's UhciDxe reports one byte for a removed device (seen in edk2-stable202208).
			// Readers have no messages of one byte.
			t.gone.Store(true)
			return 0, usb.ErrGone
		case err == nil && (got < len(want) || n == len(buf)):
			return n, nil // a short packet, or all
		case err == nil, errors.Is(err, usb.ErrTimeout) && got > 0 && n%p.packet == 0:
			continue // a first packet: there may be more behind it
		case !errors.Is(err, usb.ErrTimeout) || n > 0:
			return n, err
		}
		if err := t.ready(ctx); err != nil { // first, because firmware may have noticed the removal
			return n, err
		}
		if err := t.stillThere(until); err != nil {
			return n, err
		}
		want, wait = buf[:p.packet], laterWait
	}
}

// Out writes one bulk transfer. A longer one than maxTransfer is divided at a multiple of every
// packet size, which makes no difference to the device.
//
// Each wait is short, because on some controllers only its end shows that a device was removed
// (QEMU's xHCI and EHCI). A single packet that the device has not taken until then is sent again.
// Of a longer transfer it is unknown how much was taken.
func (t *Transport) Out(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (n int, err error) {
	p := t.pipes[endpoint]
	if p == nil || endpoint&usb.DirIn != 0 {
		return 0, fmt.Errorf("%w: %d bytes to endpoint %#02x", ErrUsage, len(buf), endpoint)
	}
	until := newLimit(ctx, timeout, outLimit)
	for {
		if err := t.ready(ctx); err != nil {
			return n, err
		}
		if err := t.stillThere(until); err != nil {
			return n, err
		}
		left := until.left()
		if left <= 0 {
			return n, until.expired()
		}
		want, wait := buf[n:min(len(buf), n+maxTransfer)], firstWait
		if len(want) > p.packet {
			wait += time.Duration(len(want)) * byteTime
		}
		got, err := t.stream(p, endpoint, want, min(wait, left), until)
		n += got
		switch {
		case errors.Is(err, usb.ErrTimeout) && got == 0 && len(want) <= p.packet &&
			until.left() > 0:
			continue
		case errors.Is(err, usb.ErrTimeout):
			if gone := t.stillThere(until); gone != nil {
				return n, gone
			}
			return n, err
		case err != nil:
			return n, err
		case got < len(want):
			if t.present() != there {
				t.gone.Store(true)
				return n, usb.ErrGone
			}
			return n, fmt.Errorf("%w: %d bytes of %d written", usb.ErrTransfer, n, len(buf))
		case n == len(buf):
			return n, nil
		}
	}
}

// stream does one bulk or interrupt transfer.
func (t *Transport) stream(
	p *pipe, endpoint uint8, buf []byte, wait time.Duration, until limit,
) (n int, err error) {
	var result uefi.USBResult
	var status uefi.Status
	began := time.Now()
	if p.kind == usb.InterruptTransfer {
		n, result, status = t.io.Interrupt(&p.transfer, endpoint, milliseconds(wait), buf)
	} else {
		n, result, status = t.io.Bulk(&p.transfer, endpoint, milliseconds(wait), buf)
	}
	return n, t.outcome(&p.transfer, status, result, time.Since(began) >= wait, until)
}

// ClearHalt ends a stall. The data toggle is reset on both sides on every controller only if the
// endpoint is halted on the host's side too, as it is after usb.ErrStall, usb.ErrBabble and
// usb.ErrTransfer.
func (t *Transport) ClearHalt(ctx context.Context, endpoint uint8) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	t.controlling.Lock()
	defer t.controlling.Unlock()
	_, err := t.request(&t.control,
		usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | usb.ToEndpoint,
			Request: usb.RequestClearFeature,
			Value:   usb.FeatureEndpointHalt, Index: uint16(endpoint)}, nil,
		newLimit(ctx, requestLimit, 0))
	return err
}
