//go:build !tamago

// Package pcsclite is the sclib backend for the readers of the PC/SC daemon, pcscd of pcsc-lite. It
// uses the daemon's socket, without a C library.
//
//	backend, err := pcsclite.New(pcsclite.Options{})
//	sc := sclib.New(backend)
//
// The daemon shares readers among programs: share modes and transactions apply to all of them.
//
// Specification: pcsc-lite 1.9.9 to 2.5.1, winscard_msg.h (messages), eventhandler.h (reader
// states), pcsclite.h (values).
package pcsclite

import (
	"bytes"
	"context"
	"os"
	"slices"
	"sync"

	"tamaccid/sclib"
)

// The socket of the daemon (pcsc-lite, sys_generic.h and winscard_msg.c).
const (
	// DefaultSocket is the path of the socket.
	DefaultSocket = "/run/pcscd/pcscd.comm"
	// SocketVariable is the environment variable with another path.
	SocketVariable = "PCSCLITE_CSOCK_NAME"
)

// A Backend has the readers of one daemon. It connects to the daemon when a method needs it.
type Backend struct {
	path string

	mu      sync.Mutex
	states  *wire // for reader states; each connected reader has its own
	readers []*reader
}

// Options are the settings of a Backend.
type Options struct {
	// Socket is the path of the daemon's socket. If it is empty, it is the value of the environment
	// variable SocketVariable or, without that, DefaultSocket.
	Socket string
}

// New returns a backend for the daemon at a socket. The error is always nil: the methods return
// ErrNoService while the daemon does not run, and find one that starts later.
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

// A state is the daemon's state of a reader.
type state struct {
	name   string
	status sclib.ReaderStatus
}

// list reads the states of the daemon's readers. It reconnects after a restart of the daemon.
func (b *Backend) list(ctx context.Context) ([]state, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The daemon answers at once. A cancelled request would make the wire unusable.
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

// parseStates parses an array of reader states. An entry without a name is free.
func parseStates(raw []byte) []state {
	var states []state
	for ; len(raw) >= stateSize; raw = raw[stateSize:] {
		name, _, terminated := bytes.Cut(raw[:nameSize], []byte{0})
		if !terminated || len(name) == 0 {
			continue
		}
		s := state{name: string(name)}
		s.status.State = sclib.CardState(byteOrder.Uint32(raw[stateOfState:]))
		// The daemon sets SCARD_SWALLOWED after a reset without an answer (pcsc-lite,
		// eventhandler.c).
		s.status.Mute = s.status.State.Has(sclib.CardPresent | sclib.CardSwallowed)
		protocol := sclib.Protocol(byteOrder.Uint32(raw[stateOfProtocol:]))
		if protocol&(sclib.ProtocolAny|sclib.ProtocolRaw) != 0 {
			s.status.Protocol = protocol
		}
		n := byteOrder.Uint32(raw[stateOfATRLength:])
		if n <= sclib.MaxATR && s.status.State&sclib.CardPresent != 0 {
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
		if !slices.Contains(readers, r) {
			r.gone.Store(true)
		}
	}
	b.readers = readers
	return list, nil
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
