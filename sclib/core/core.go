// Package core is sclib's way to the readers that this program drives itself, with the CCID class driver of this module: on boards
// without an operating system, and on Linux without a daemon.
//
//	readers := core.New()
//	sc := sclib.New(readers)
//	readers.Add(reader) // a *ccid.Reader; whenever one is plugged in
//
// On a USB host of this program's own, Attach does that for each reader that is plugged in.
//
// Each slot of a reader is a reader of sclib.
package core

import (
	"context"
	"errors"
	"slices"
	"sync"

	"tamaccid/ccid"
	"tamaccid/sclib"
)

// A Backend has the readers that were added and are still there.
type Backend struct {
	mu       sync.Mutex
	attached []attached
	units    map[int]bool // numbers in the names of what Attach serves
	closed   bool
}

// attached is a reader and what sclib sees of it.
type attached struct {
	reader *ccid.Reader
	slots  []*reader
}

// New makes a backend without readers.
func New() *Backend { return new(Backend) }

// Add adds a reader, which belongs to the backend from then on: it is closed when it has gone or the backend is closed.
func (b *Backend) Add(r *ccid.Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		r.Close()
		return
	}
	a := attached{reader: r}
	for _, s := range r.Slots() {
		a.slots = append(a.slots, &reader{slot: s})
	}
	b.attached = append(b.attached, a)
}

// remove takes a reader out of the list.
func (b *Backend) remove(r *ccid.Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attached = slices.DeleteFunc(b.attached, func(a attached) bool { return a.reader == r })
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

// Close implements sclib.Backend. It closes all readers.
func (b *Backend) Close() error {
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
