// Package native is the sclib backend for the readers that this program drives itself with the
// class driver of this module: on boards without an operating system, and on Linux without a
// daemon.
//
//	readers, err := native.New(native.Options{Start: q35.USB})
//	sc := sclib.New(readers)
//
// Readers come and go as they are plugged in and unplugged. A program that opens readers in another
// way leaves Start out and adds each with Add, or serves each interface with Attach. Each slot of a
// reader is a reader of sclib. GetStatusChange returns as soon as a reader comes or goes, or
// reports a card by its interrupt endpoint; a reader without that endpoint is asked every 200 ms.
package native

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid"
	"tamaccid/sclib"
)

// settleLimit is how long New waits for the devices that are plugged in (policy: a reader takes a
// third of a second, behind hubs a second more).
const settleLimit = 10 * time.Second

// ErrNotReady is reported when USB devices took too long to become ready; those that are ready can
// be used.
var ErrNotReady = errors.New("some of the USB devices are not ready")

// Options are the settings of a Backend.
type Options struct {
	// Start starts the program's USB host; boards offer such a function. Without one the backend
	// has the readers that Add and Attach give it.
	Start func(usbhost.Options) (*usbhost.Bus, error)
	// Report, if set, is called with the reason why a reader or a USB device cannot be used. It
	// must not block, nor close the backend.
	Report func(error)
}

// A Backend has the readers on a bus, and those that were added, while they are attached.
type Backend struct {
	bus     *usbhost.Bus // nil without Options.Start
	units   ccid.Units   // of the readers that Attach serves
	changes sclib.Signal

	mu       sync.Mutex
	attached []attached
	closed   bool
	watchers sync.WaitGroup
}

// attached is a reader and its slots, each a reader of sclib.
type attached struct {
	reader  *ccid.Reader
	slots   []*reader
	watched *atomic.Int32 // how many slots' changes wake GetStatusChange
}

// New starts the USB host and waits up to 10 s for the readers that are plugged in. The error is
// that of Options.Start.
func New(o Options) (*Backend, error) {
	b := new(Backend)
	if o.Start == nil {
		return b, nil
	}
	report := o.Report
	if report == nil {
		report = func(error) {}
	}
	bus, err := o.Start(usbhost.Options{
		Choose: ccid.Choose,
		Attach: func(ctx context.Context, i *usbhost.Interface) {
			if err := b.Attach(ctx, i); err != nil {
				report(err)
			}
		},
		Report: func(e usbhost.Event) {
			if e.Err != nil {
				report(errors.New(e.String()))
			}
		},
	})
	if err != nil {
		return nil, err
	}
	b.bus = bus
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if bus.Settle(ctx) != nil {
		report(ErrNotReady)
	}
	return b, nil
}

// Add adds a reader, which belongs to the backend from then on: it is closed when it has gone or
// the backend is closed. GetStatusChange returns at once for a card in a reader whose notifications
// are read from before Add on (ccid.Options.Notifications), and asks others regularly.
func (b *Backend) Add(r *ccid.Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		r.Close()
		return
	}
	a := attached{reader: r, watched: new(atomic.Int32)}
	for _, s := range r.Slots() {
		a.slots = append(a.slots, &reader{slot: s})
	}
	b.attached = append(b.attached, a)
	if r.Listened() {
		a.watched.Store(int32(len(a.slots)))
		for _, s := range r.Slots() {
			b.watchers.Go(func() { b.watch(s, a.watched) })
		}
	}
	b.changes.Send()
}

// remove takes a reader from the list.
func (b *Backend) remove(r *ccid.Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attached = slices.DeleteFunc(b.attached, func(a attached) bool { return a.reader == r })
	b.changes.Send()
}

// Readers implements sclib.Backend.
func (b *Backend) Readers(ctx context.Context) ([]sclib.Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attached = slices.DeleteFunc(b.attached, func(a attached) bool {
		if a.reader.Gone() {
			a.reader.Close()
			return true
		}
		return false
	})
	var list []sclib.Reader
	for _, a := range b.attached {
		for _, s := range a.slots {
			list = append(list, s)
		}
	}
	return list, nil
}

// Close implements sclib.Backend. It closes all readers and stops the controllers.
func (b *Backend) Close() error {
	err := b.closeReaders()
	b.watchers.Wait()
	if b.bus != nil {
		err = errors.Join(err, b.bus.Close())
	}
	return err
}

func (b *Backend) closeReaders() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	var failures []error
	for _, a := range b.attached {
		failures = append(failures, a.reader.Close())
	}
	b.attached = nil
	return errors.Join(failures...)
}
