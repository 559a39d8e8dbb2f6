package usbhost

import (
	"context"
	"errors"
	"slices"
	"sync"

	"tamaccid/ccid/usb"
)

// Options say what a bus does with what it finds.
type Options struct {
	// Attach is called in a goroutine of its own for each interface of each device, once the device is configured. ctx ends
	// when the device has gone or the bus is closed. It may run for as long as the device is there, and should return soon
	// after ctx has ended: Remove and Close wait for it, so it must not call them. Hubs are the bus's own affair.
	Attach func(ctx context.Context, i *Interface)
	// Report, if set, hears what happened. Calls do not overlap. It must not block, nor call Remove or Close.
	Report func(Event)
	// Choose picks one of a device's configurations by its index in configs, each a whole configuration descriptor as the
	// device sent it. Nil, and an index out of range, are the policy: the first with an interface that is not
	// vendor specific, else the first.
	Choose func(descriptor []byte, configs [][]byte) int
}

// Bus is the devices of any number of host controllers. Its methods may be called concurrently.
type Bus struct {
	options   Options
	reporting sync.Mutex // held while Report runs

	mu     sync.Mutex
	roots  []*root // in the order of Add
	number uint8   // of the last root
	closed bool
	work   int           // what Settle waits for
	idle   chan struct{} // closed when work comes down to zero; nil while nobody waits
}

// Errors of Add and Remove.
var (
	// ErrClosed says that the bus was closed.
	ErrClosed = errors.New("usb: bus closed")
	// ErrController says that a controller is on the bus already, or is not on it.
	ErrController = errors.New("usb: controller added twice or not at all")
)

// New makes a bus without controllers.
func New(o Options) *Bus { return &Bus{options: o} }

// Add puts a controller that runs on the bus, which closes it in the end. Enumeration goes on in the background.
func (b *Bus) Add(c Controller) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.find(c) != nil {
		return ErrController
	}
	b.number++
	r := newRoot(b, c, b.number)
	b.roots = append(b.roots, r)
	b.work++ // until the ports have been looked at
	r.tasks.Go(r.run)
	return nil
}

// find is the root of a controller, nil if there is none. It is called with mu held.
func (b *Bus) find(c Controller) *root {
	for _, r := range b.roots {
		if r.controller == c {
			return r
		}
	}
	return nil
}

// Remove takes a controller off the bus: its devices are detached and it is closed. It returns when nothing runs for it any
// more, class drivers included.
func (b *Bus) Remove(c Controller) error {
	b.mu.Lock()
	r := b.find(c)
	if r != nil {
		b.roots = slices.DeleteFunc(b.roots, func(o *root) bool { return o == r })
	}
	b.mu.Unlock()
	if r == nil {
		return ErrController
	}
	return r.close()
}

// Close removes all controllers. Nothing can be added afterwards.
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
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// Settle waits until everything that was connected when its controller was added, and since, hubs and what is behind them
// included, has been enumerated or refused, and until Options.Attach has returned or called Interface.Ready for each interface.
// A device may take 100 ms after power came to show that it is there (USB 2.0, 7.1.7.3), so nothing settles sooner. The
// error is ctx's.
func (b *Bus) Settle(ctx context.Context) error {
	for {
		b.mu.Lock()
		if b.work == 0 {
			b.mu.Unlock()
			return nil
		}
		if b.idle == nil {
			b.idle = make(chan struct{})
		}
		idle := b.idle
		b.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin says that there is something for Settle to wait for, done that it is over.
func (b *Bus) begin() {
	b.mu.Lock()
	b.work++
	b.mu.Unlock()
}

func (b *Bus) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.work--; b.work == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// DeviceInfo describes a configured device.
type DeviceInfo struct {
	Device     *usb.Device // shared, read only; its interface is the first one
	Controller Controller
	Location   Location
	// HubPorts is the number of its ports if it is a hub.
	HubPorts   int
	Interfaces []InterfaceInfo
}

// InterfaceInfo describes an interface of a device.
type InterfaceInfo struct {
	Descriptor usb.Interface // of the current setting
	Claimed    bool
}

// Devices lists the devices that are configured, hubs included, a hub before what is behind it.
func (b *Bus) Devices() []DeviceInfo {
	b.mu.Lock()
	roots := slices.Clone(b.roots)
	b.mu.Unlock()
	var all []DeviceInfo
	for _, r := range roots {
		all = r.branch.appendDevices(all)
	}
	return all
}
