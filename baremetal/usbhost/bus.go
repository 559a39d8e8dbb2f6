package usbhost

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Bus has the devices behind any number of host controllers. Its methods may be called
// concurrently.
type Bus struct {
	options   Options
	reporting sync.Mutex // held during Report
	work      workCount

	mu     sync.Mutex
	roots  []*rootHub // in the order of Add
	number uint8      // of the last controller
	closed bool
}

// Errors of Add and Remove.
var (
	// ErrClosed: the bus was closed.
	ErrClosed = errors.New("usb: bus closed")
	// ErrController: the controller is on the bus already, or is not on it.
	ErrController = errors.New("usb: controller added twice or not at all")
)

// New returns a bus without controllers.
func New(o Options) *Bus { return &Bus{options: o} }

// Add adds a running controller to the bus, which closes it in the end. Enumeration continues in
// the background.
func (b *Bus) Add(c Controller) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.index(c) >= 0 {
		return ErrController
	}
	b.number++
	r := newRootHub(&tree{
		controller:     c,
		number:         b.number,
		options:        &b.options,
		report:         b.report,
		work:           &b.work,
		defaultAddress: newDefaultAddress(),
		addressing:     newLock(),
		newHub:         newHub,
	})
	b.roots = append(b.roots, r)
	b.work.begin() // until the ports were checked
	r.tasks.Go(r.run)
	return nil
}

// report calls Options.Report, for one event at a time.
func (b *Bus) report(e Event) {
	if b.options.Report == nil {
		return
	}
	b.reporting.Lock()
	defer b.reporting.Unlock()
	b.options.Report(e)
}

// index is the index of a controller in roots, or -1. mu is held.
func (b *Bus) index(c Controller) int {
	return slices.IndexFunc(b.roots, func(r *rootHub) bool {
		return r.ports.up.tree.controller == c
	})
}

// Remove removes a controller from the bus, with all devices behind it, and closes it. When it
// returns, nothing runs for the controller any more, class drivers included.
func (b *Bus) Remove(c Controller) error {
	b.mu.Lock()
	i := b.index(c)
	if i < 0 {
		b.mu.Unlock()
		return ErrController
	}
	r := b.roots[i]
	b.roots = slices.Delete(b.roots, i, i+1)
	b.mu.Unlock()
	return r.shutDown()
}

// Close removes all controllers. None can be added afterwards.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	roots := b.roots
	b.roots = nil
	b.mu.Unlock()
	for _, r := range roots {
		r.end() // all at the same time
	}
	var errs []error
	for _, r := range roots {
		errs = append(errs, r.shutDown())
	}
	return errors.Join(errs...)
}

// Settle waits until every device that is connected, hubs and devices behind them included, was
// enumerated or refused, and until Options.Attach has returned or called Interface.Ready for each
// interface. A device may take 100 ms to signal its connection after its power is good (USB 2.0,
// 7.1.7.3), so Settle waits at least that long after Add. The error is ctx's.
func (b *Bus) Settle(ctx context.Context) error { return b.work.wait(ctx) }

// Devices returns the configured devices. Hubs are included, each before the devices behind it.
func (b *Bus) Devices() []DeviceInfo {
	b.mu.Lock()
	roots := slices.Clone(b.roots)
	b.mu.Unlock()
	var all []DeviceInfo
	for _, r := range roots {
		all = r.ports.appendDevices(all)
	}
	return all
}
