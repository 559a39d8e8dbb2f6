//go:build !tamago

// Package pcsclite is sclib's way to the readers of a PC/SC daemon, pcscd of pcsc-lite, through its socket. It needs no C
// library.
//
//	sc := readers, err := pcsclite.New(pcsclite.Options{})
//	sc := sclib.New(readers)
//
// The daemon shares readers among programs: share modes and transactions count for all of them.
//
// Specification: pcsc-lite 1.9.9 to 2.5.1, winscard_msg.h (messages), eventhandler.h (reader states), pcsclite.h (values).
package pcsclite

import (
	"bytes"
	"context"
	"os"
	"sync"

	"tamaccid/sclib"
)

// Where the daemon listens, and the variable that says otherwise (pcsc-lite, sys_generic.h and winscard_msg.c).
const (
	DefaultSocket  = "/run/pcscd/pcscd.comm"
	SocketVariable = "PCSCLITE_CSOCK_NAME"
)

// A Backend gives the readers of one daemon. It connects to it when it is first asked.
type Backend struct {
	path string

	mu      sync.Mutex
	states  *wire // for reader states; each connected reader has a wire of its own
	readers []*reader
}

// Options are the settings of a Backend.
type Options struct {
	// Socket is the path of the daemon's socket. If it is empty, it is the value of the environment
	// variable SocketVariable or, without that, DefaultSocket.
	Socket string
}

// New makes a backend for the daemon behind a socket. The error is always nil: a daemon that cannot
// be reached is an error of the first method that needs it, and one that is started later is found.
func New(o Options) (*Backend, error) {
	path := o.Socket
	if path == "" {
		path = os.Getenv(SocketVariable)
	}
	if path == "" {
		path = DefaultSocket
	}
	return &Backend{path: path}, nil
}

// A state is what the daemon tells of a reader.
type state struct {
	name   string
	status sclib.ReaderStatus
}

// list asks the daemon for its readers. A daemon that was restarted is found again.
func (b *Backend) list(ctx context.Context) ([]state, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The daemon answers at once; breaking the request off would break the wire.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states == nil || b.states.broken {
		w, err := dial(ctx, b.path)
		if err != nil {
			return nil, err
		}
		b.states = w
	}
	raw := make([]byte, maxReaders*stateSize)
	err := b.states.exchange(ctx, func() error {
		if err := b.states.send(cmdReadersState, nil, nil); err != nil {
			return err
		}
		return readFull(b.states, raw)
	})
	if err != nil {
		return nil, err
	}
	return parseStates(raw), nil
}

// parseStates reads an array of reader states; those without a name are free places.
func parseStates(raw []byte) []state {
	var states []state
	for ; len(raw) >= stateSize; raw = raw[stateSize:] {
		name, _, terminated := bytes.Cut(raw[:nameSize], []byte{0})
		if !terminated || len(name) == 0 {
			continue
		}
		s := state{name: string(name)}
		s.status.State = sclib.CardState(byteOrder.Uint32(raw[stateOfState:]))
		if protocol := sclib.Protocol(byteOrder.Uint32(raw[stateOfProtocol:])); protocol&(sclib.ProtocolAny|sclib.ProtocolRaw) != 0 {
			s.status.Protocol = protocol
		}
		if n := byteOrder.Uint32(raw[stateOfATRLength:]); n <= sclib.MaxATR && s.status.State&sclib.CardPresent != 0 {
			s.status.ATR = bytes.Clone(raw[stateOfATR:][:n])
		}
		states = append(states, s)
	}
	return states
}

// Readers implements sclib.Backend.
func (b *Backend) Readers(ctx context.Context) ([]sclib.Reader, error) {
	states, err := b.list(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	readers := make([]*reader, len(states))
	list := make([]sclib.Reader, len(states))
	for i, s := range states {
		for _, r := range b.readers {
			if r.name == s.name && !r.gone.Load() {
				readers[i] = r
			}
		}
		if readers[i] == nil {
			readers[i] = &reader{backend: b, name: s.name}
		}
		list[i] = readers[i]
	}
	for _, r := range b.readers {
		if !contains(readers, r) {
			r.gone.Store(true)
		}
	}
	b.readers = readers
	return list, nil
}

func contains(readers []*reader, r *reader) bool {
	for _, other := range readers {
		if other == r {
			return true
		}
	}
	return false
}

// Close implements sclib.Backend.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states != nil {
		b.states.close()
	}
	return nil
}
