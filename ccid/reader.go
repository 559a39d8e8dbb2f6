package ccid

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/quirk"
	"tamaccid/ccid/usb"
)

// maxSlots bounds the slots of one reader that are used (policy: no reader in testdata/readers.txt
// has more than 8; CCID 1.1, table 5.1-1 allows 256).
const maxSlots = 16

// A Reader is one CCID or ICCD interface of a USB device.
type Reader struct {
	t      usb.Transport
	dev    *usb.Device
	iface  Interface // as the device describes it
	class  ClassDescriptor
	quirk  quirk.Needs
	level  Level
	o      Options
	timing Timing
	name   string
	slots  []*Slot
	pipe   *pipe.Pipe
	busy   wait.Semaphore // places for commands at once
	// maxPayload is the largest payload of a message to the reader.
	maxPayload int
	// rates and clocks are the reader's tables, nil when it has none: bits a second and kHz.
	rates, clocks []uint32

	once      sync.Once
	done      chan struct{} // closed when the reader has gone or was closed
	gone      atomic.Bool
	closed    atomic.Bool
	listeners atomic.Int32
	stop      context.CancelFunc
	stopped   chan struct{}
	notifying wait.Semaphore
	notes     []byte
	// polled, when not nil, delivers the notifications that the host has read by itself (Polled).
	polled func()
	// latency is how long after a change its notification has come, at the latest.
	latency  time.Duration
	asking   wait.Semaphore // firmware is being read
	firmware vendorFeatures
}

// Open returns a Reader on a claimed interface, within the time of ctx and Timing.Open. On success
// the Reader owns t, and Close closes it; on an error t remains the caller's. No card is powered.
// Errors: ErrDescriptor, ErrFirmware, ErrTimeout, ErrGone, ErrTransport, ErrProtocol.
func Open(ctx context.Context, t usb.Transport, o Options) (*Reader, error) {
	dev := t.Device()
	iface, err := Probe(dev.Config, dev.Interface, dev.AltSetting)
	if err != nil {
		return nil, err
	}
	r := &Reader{
		t: t, dev: dev, iface: iface, class: iface.Class, o: o, timing: o.Timing.withPolicy(),
		done: make(chan struct{}), notifying: wait.NewSemaphore(1), asking: wait.NewSemaphore(1),
	}
	vendor, product, version := dev.ID()
	if err := quirk.Refused(vendor, product, version); err != nil && !o.AllowOldFirmware {
		return nil, err
	}
	r.quirk = quirk.Find(vendor, product, version)
	r.class.correct(&r.quirk, iface.Kind)
	r.level = r.class.Features.Level()
	r.timing.Answer = max(r.timing.Answer, r.quirk.Answer)
	slots := min(int(r.class.MaxSlotIndex)+1, maxSlots)
	r.busy = wait.NewSemaphore(min(max(1, int(r.class.MaxBusySlots)), slots))
	if err := r.newPipe(slots); err != nil {
		return nil, err
	}
	r.name = readerName(dev, o.Name, o.Unit)
	for i := range slots {
		r.slots = append(r.slots, newSlot(r, uint8(i)))
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if o.Notifications && iface.Interrupt.Address != 0 {
		r.listenInBackground()
	}
	return r, nil
}

// newPipe makes the pipe for the reader's kind.
func (r *Reader) newPipe(slots int) error {
	r.maxPayload = int(min(r.class.MaxMessageLength, pipe.MaxMessage)) - pipe.HeaderSize
	c := &pipe.Config{
		Transport: r.t, Interface: r.iface.Number, Slots: slots, MaxPayload: r.maxPayload,
		Shared: r.busy.Places() > 1, Done: r.done,
		Waits: pipe.Waits{
			Write: r.timing.Write, Answer: r.timing.Answer, Abort: r.timing.Abort,
			Cancel: r.timing.Cancel, Halt: r.timing.Halt, Limit: r.timing.Limit,
			Poll: r.timing.PollICCD,
		},
	}
	if r.iface.Kind == KindBulk {
		var err error
		if r.pipe, err = pipe.NewBulk(c, &r.iface.BulkIn, &r.iface.BulkOut); err != nil {
			return fmt.Errorf("%w: %w", ErrDescriptor, err)
		}
		return nil
	}
	if slots != 1 {
		return fmt.Errorf("%w: %v with %d slots", ErrDescriptor, r.iface.Kind, slots)
	}
	if r.iface.Kind == KindICCDA || r.iface.Class.Features.Level() != LevelExtendedAPDU {
		// No header goes with a command: what the device takes is all payload, a whole short APDU.
		// Chained parts stay below it.
		r.maxPayload = int(min(r.class.MaxMessageLength, pipe.MaxControl))
	}
	r.maxPayload = min(r.maxPayload, pipe.MaxControl)
	r.pipe = pipe.NewICCD(c, r.iface.Kind == KindICCDA)
	return nil
}

// Slots are the reader's slots, at least one and at most 16, in the order of their numbers. A
// reader that declares more (bMaxSlotIndex of Class) is used with the first 16.
func (r *Reader) Slots() []*Slot { return r.slots }

// Name is "<Manufacturer> <Product> <Unit>".
func (r *Reader) Name() string { return r.name }

// Class is the reader's class descriptor, corrected by the quirk table.
func (r *Reader) Class() ClassDescriptor { return r.class }

// Interface is the parsed descriptors, as the device has them.
func (r *Reader) Interface() Interface { return r.iface }

// Quirk is what the quirk table has for the reader; its Note is empty when no row applies.
func (r *Reader) Quirk() quirk.Needs { return r.quirk }

// Device is the transport's description of the device.
func (r *Reader) Device() *usb.Device { return r.dev }

// Rates are the data rates in bit/s that the reader lists, nil if it lists none.
func (r *Reader) Rates() []uint32 { return append([]uint32(nil), r.rates...) }

// Clocks are the clock frequencies in kHz that the reader lists, nil if it lists none.
func (r *Reader) Clocks() []uint32 { return append([]uint32(nil), r.clocks...) }

// Gone reports whether the reader was unplugged or closed.
func (r *Reader) Gone() bool { return r.gone.Load() }

// Done is closed when the reader has gone or was closed.
func (r *Reader) Done() <-chan struct{} { return r.done }

// Shutdown switches off the cards that are powered, as far as ctx allows, and closes the reader. A
// reader that does not answer one command properly gets no other one.
func (r *Reader) Shutdown(ctx context.Context) error {
	r.pipe.Abandon()
	for _, s := range r.slots {
		if s.ATR() == nil {
			continue
		}
		if err := s.PowerOff(ctx); err != nil && slotError(err) == nil {
			break
		}
	}
	return r.Close()
}

// Close ends all calls in progress with ErrClosed, and closes the transport. It leaves powered
// cards powered: Shutdown switches them off.
func (r *Reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	r.leave()
	if r.stop != nil {
		r.stop()
	}
	err := r.t.Close()
	if r.stopped != nil {
		<-r.stopped
	}
	return err
}

// leave marks the reader as gone.
func (r *Reader) leave() {
	r.once.Do(func() {
		r.gone.Store(true)
		close(r.done)
		for _, s := range r.slots {
			s.update((*cardState).gone)
		}
	})
}

// lost returns the error of calls on a reader that has gone, or nil.
func (r *Reader) lost() error {
	switch {
	case !r.gone.Load():
		return nil
	case r.closed.Load():
		return ErrClosed
	}
	return ErrGone
}

// broken reports whether a transfer failed in a way that halts the endpoint.
func broken(err error) bool {
	return errors.Is(err, usb.ErrStall) || errors.Is(err, usb.ErrTransfer) ||
		errors.Is(err, usb.ErrBabble)
}

// note wraps a transport's error in one of this package's, and records that the reader has gone.
func (r *Reader) note(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, usb.ErrGone):
		r.leave()
		return fmt.Errorf("%w: %w", r.lost(), err)
	case r.gone.Load():
		return fmt.Errorf("%w: %w", r.lost(), err)
	case errors.Is(err, usb.ErrTimeout) && !errors.Is(err, ErrTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case broken(err):
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return err
}
