//go:build induced

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

// Control codes of the test build (tag induced): each makes the driver fail in
// a way of its own. They lie outside of the codes of PC/SC part 10.
const (
	InducePanic uint32 = 0x7f000000 + iota
	InduceNil
	InduceWait   // waits for ever, but minds its deadline
	InduceWedge  // waits for ever and minds nothing
	InduceFatal  // an error that the Go runtime cannot survive
	InduceMemory // takes memory until there is none
	InduceStack  // recurses without end
	InduceWild   // reads where no memory can be
	InduceGP     // reads at an address that is none
	InduceCopy   // writes where no memory can be, in the runtime's assembly
	InduceNested // does both while it panics
)

// InduceGrowth keeps 512 KiB more of memory with each call.
const InduceGrowth uint32 = 0x7f000101

// InduceUSBTime answers how many nanoseconds USB transfers have taken, as eight
// bytes, the lowest first.
const InduceUSBTime uint32 = 0x7f000100

// InduceLater added to one of the codes above makes the driver fail not at once but when it waits
// for the answer to the next command: the command has been sent.
const InduceLater uint32 = 0x1000

// Addresses in four-level paging (Intel SDM volume 1, 3.3.7.1): beyond any memory, and not
// canonical.
const (
	unmapped     = 0x7000_0000_0000
	nonCanonical = 0x8000_0000_0000
)

const (
	inducedWait  = 2 * time.Second
	inducedLimit = 10 * time.Second
)

func init() {
	gate.RequestLimit = inducedLimit
	induce = induced
	tap = func(t usb.Transport) usb.Transport { return &timed{Transport: t} }
}

// timed measures the transfers of the transport behind it.
type timed struct{ usb.Transport }

var usbTime time.Duration

func since(start time.Time) { usbTime += time.Since(start) }

func (t *timed) In(ctx context.Context, endpoint uint8, b []byte, timeout time.Duration) (int, error) {
	defer since(time.Now())
	failLate(ctx)
	return t.Transport.In(ctx, endpoint, b, timeout)
}

func (t *timed) Out(ctx context.Context, endpoint uint8, b []byte, timeout time.Duration) (int, error) {
	defer since(time.Now())
	return t.Transport.Out(ctx, endpoint, b, timeout)
}

func (t *timed) Control(ctx context.Context, setup usb.Setup, b []byte, timeout time.Duration) (int, error) {
	if setup.In() {
		failLate(ctx)
	}
	return t.Transport.Control(ctx, setup, b, timeout)
}

// atNextAnswer is the failure that waits for the next answer, 0 without one.
var atNextAnswer uint32

func failLate(ctx context.Context) {
	if code := atNextAnswer; code != 0 {
		atNextAnswer = 0
		induced(ctx, code)
	}
}

var sink [][]byte

func induced(ctx context.Context, code uint32) ([]byte, error, bool) {
	if code&^InduceLater >= InducePanic && code&^InduceLater <= InduceWild && code&InduceLater != 0 {
		atNextAnswer = code &^ InduceLater
		return nil, nil, true
	}
	switch code {
	case InduceUSBTime:
		return binary.LittleEndian.AppendUint64(nil, uint64(usbTime)), nil, true
	case InduceGrowth:
		sink = append(sink, make([]byte, 512<<10))
		return nil, nil, true
	case InducePanic:
		panic("induced")
	case InduceNil:
		var r *reader
		return []byte{byte(r.held)}, nil, true
	case InduceWait:
		ctx, cancel := context.WithTimeout(ctx, inducedWait)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err(), true
	case InduceWedge:
		for {
			time.Sleep(time.Second)
		}
	case InduceFatal:
		new(sync.Mutex).Unlock()
	case InduceMemory:
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	case InduceStack:
		return []byte{recurse(1)}, nil, true
	case InduceWild:
		return []byte{*uefi.At[byte](unmapped)}, nil, true
	case InduceGP:
		return []byte{*uefi.At[byte](nonCanonical)}, nil, true
	case InduceCopy:
		copy(memory(unmapped, 4096), make([]byte, 4096))
	case InduceNested:
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
