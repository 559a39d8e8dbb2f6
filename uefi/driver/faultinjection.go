//go:build faultinjection

package driver

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// Control codes of the fault injection build (tag faultinjection): each makes the driver fail in
// another way. They are outside of the codes of PC/SC part 10.
const (
	FaultPanic uint32 = 0x7f000000 + iota
	FaultNil
	FaultWait   // waits until its deadline
	FaultWedge  // waits without end
	FaultFatal  // an error that the Go runtime cannot survive
	FaultMemory // allocates memory without end
	FaultStack  // recurses without end
	FaultWild   // reads at an unmapped address
	FaultGP     // reads at a non-canonical address
	FaultCopy   // writes to an unmapped address, in the runtime's assembly
	FaultNested // does both during a panic
)

// FaultGrowth allocates 512 KiB with each call and keeps them.
const FaultGrowth uint32 = 0x7f000101

// ReportUSBTime returns how many nanoseconds USB transfers have taken, as eight bytes, the least
// significant first.
const ReportUSBTime uint32 = 0x7f000100

// FaultLater added to one of the codes above makes the driver fail not at once but during the next
// command, when it waits for the answer of the reader.
const FaultLater uint32 = 0x1000

// Addresses in four-level paging (Intel SDM volume 1, 3.3.7.1): beyond any memory, and not
// canonical.
const (
	unmapped     = 0x7000_0000_0000
	nonCanonical = 0x8000_0000_0000
)

const (
	faultWait  = 2 * time.Second
	faultLimit = 10 * time.Second
)

func init() {
	gate.RequestLimit = faultLimit
	faultInjection = injectFault
	wrapTransport = func(t usb.Transport) usb.Transport { return &timed{Transport: t} }
}

// timed measures the transfers of the transport behind it.
type timed struct{ usb.Transport }

var usbTime time.Duration

func since(start time.Time) { usbTime += time.Since(start) }

func (t *timed) In(
	ctx context.Context, endpoint uint8, b []byte, timeout time.Duration,
) (int, error) {
	defer since(time.Now())
	failLate(ctx)
	return t.Transport.In(ctx, endpoint, b, timeout)
}

func (t *timed) Out(
	ctx context.Context, endpoint uint8, b []byte, timeout time.Duration,
) (int, error) {
	defer since(time.Now())
	return t.Transport.Out(ctx, endpoint, b, timeout)
}

func (t *timed) Control(
	ctx context.Context, setup usb.Setup, b []byte, timeout time.Duration,
) (int, error) {
	if setup.In() {
		failLate(ctx)
	}
	return t.Transport.Control(ctx, setup, b, timeout)
}

// atNextAnswer is the code of the failure at the next answer, 0 without one.
var atNextAnswer uint32

func failLate(ctx context.Context) {
	if code := atNextAnswer; code != 0 {
		atNextAnswer = 0
		injectFault(ctx, code)
	}
}

var sink [][]byte

func injectFault(ctx context.Context, code uint32) ([]byte, error, bool) {
	if code&^FaultLater >= FaultPanic && code&^FaultLater <= FaultWild && code&FaultLater != 0 {
		atNextAnswer = code &^ FaultLater
		return nil, nil, true
	}
	switch code {
	case ReportUSBTime:
		return binary.LittleEndian.AppendUint64(nil, uint64(usbTime)), nil, true
	case FaultGrowth:
		sink = append(sink, make([]byte, 512<<10))
		return nil, nil, true
	case FaultPanic:
		panic("injected")
	case FaultNil:
		var r *reader
		return []byte{byte(r.held)}, nil, true
	case FaultWait:
		ctx, cancel := context.WithTimeout(ctx, faultWait)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err(), true
	case FaultWedge:
		for {
			time.Sleep(time.Second)
		}
	case FaultFatal:
		new(sync.Mutex).Unlock()
	case FaultMemory:
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	case FaultStack:
		return []byte{recurse(1)}, nil, true
	case FaultWild:
		return []byte{*uefi.At[byte](unmapped)}, nil, true
	case FaultGP:
		return []byte{*uefi.At[byte](nonCanonical)}, nil, true
	case FaultCopy:
		copy(memory(unmapped, 4096), make([]byte, 4096))
	case FaultNested:
		defer copy(memory(unmapped, 4096), make([]byte, 4096))
		defer func() { sink = append(sink, []byte{*uefi.At[byte](nonCanonical)}) }()
		return []byte{*uefi.At[byte](unmapped)}, nil, true
	default:
		return nil, nil, false
	}
	return nil, fmt.Errorf("%w: nothing failed", ccid.ErrInvalid), true
}

func recurse(n int) byte {
	var frame [1 << 10]byte
	frame[n%len(frame)] = recurse(n+1) + 1
	return frame[n%7]
}
