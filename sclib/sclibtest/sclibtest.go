// Package sclibtest has an sclib backend with readers and cards made of Go functions, for tests of
// programs that use sclib.
//
//	reader := sclibtest.NewReader("Test reader")
//	reader.Insert(sclibtest.Card{ATR: atr, Answer: answer})
//	sc := sclib.New(sclibtest.NewBackend(reader))
//
// A Reader enforces the contract of sclib.Reader: a violation by package sclib is an error that the
// test receives.
package sclibtest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tamaccid/sclib"
)

// A Backend is an sclib.Backend with the readers that the test attaches.
type Backend struct {
	mu      sync.Mutex
	readers []*Reader
	closed  bool
	failure error
}

// NewBackend returns a backend with readers attached.
func NewBackend(readers ...*Reader) *Backend { return &Backend{readers: readers} }

// Attach adds a reader.
func (b *Backend) Attach(r *Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers = append(b.readers, r)
}

// Detach removes a reader, as an unplugging does: its methods return ErrReaderUnavailable from then
// on.
func (b *Backend) Detach(r *Reader) {
	b.mu.Lock()
	b.readers = slices.DeleteFunc(b.readers, func(other *Reader) bool { return other == r })
	b.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.connected = true, false
}

// Fail makes Readers return an error, until Fail(nil).
func (b *Backend) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = err
}

// Readers implements sclib.Backend.
func (b *Backend) Readers(ctx context.Context) ([]sclib.Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, fmt.Errorf("%w: Readers after Close", sclib.ErrInternal)
	case b.failure != nil:
		return nil, b.failure
	}
	readers := make([]sclib.Reader, len(b.readers))
	for i, r := range b.readers {
		readers[i] = r
	}
	return readers, nil
}

// Close implements sclib.Backend.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("%w: Close after Close", sclib.ErrInternal)
	}
	b.closed = true
	return nil
}

// Closed reports whether the context has closed the backend.
func (b *Backend) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
