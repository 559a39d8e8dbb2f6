//go:build !tamago

package pcsclite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tamaccid/sclib"
)

// A daemon replaces pcscd in tests. It has one reader with one card, whose answers the test sets.
type daemon struct {
	path     string
	listener net.Listener

	mu       sync.Mutex
	name     string
	state    sclib.CardState
	atr      []byte
	codes    map[uint32]uint32 // return codes of commands; the default is success
	answer   func(command []byte) []byte
	length   int    // of answers, instead of the correct one, if not 0
	version  uint32 // if not 0
	commands []uint32
	conns    []net.Conn
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{path: filepath.Join(t.TempDir(), "s"), codes: map[uint32]uint32{},
		name: "ACME 00 00", state: sclib.CardPresent | sclib.CardPowered |
			sclib.CardNegotiable, atr: []byte{0x3B, 0x00},
		answer: func(command []byte) []byte { return append(bytes.Clone(command), 0x90, 0x00) }}
	d.start(t)
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) start(t *testing.T) {
	listener, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	d.set(func() { d.listener = listener })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, conn)
			d.mu.Unlock()
			go d.serve(conn)
		}
	}()
}

// stop ends the daemon and all its connections.
func (d *daemon) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listener.Close()
	for _, conn := range d.conns {
		conn.Close()
	}
	d.conns = nil
}

func (d *daemon) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// seen returns the commands since the last call, without those for states and the version.
func (d *daemon) seen() []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	commands := d.commands
	d.commands = nil
	return commands
}

func (d *daemon) serve(conn net.Conn) {
	defer conn.Close()
	for {
		header := make([]byte, 8)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		body := make([]byte, byteOrder.Uint32(header))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		command := byteOrder.Uint32(header[4:])
		d.mu.Lock()
		if command != cmdVersion && command != cmdReadersState {
			d.commands = append(d.commands, command)
		}
		code := d.codes[command]
		d.mu.Unlock()
		var after []byte
		put := func(offset int, value uint32) { byteOrder.PutUint32(body[offset:], value) }
		switch command {
		case cmdVersion:
			if d.version != 0 {
				put(0, d.version)
			}
		case cmdReadersState:
			conn.Write(d.states())
			continue
		case cmdEstablishContext:
			put(4, 0x12345678)
		case cmdConnect:
			put(4+128+8, 0xCAFE)
			put(4+128+12, uint32(sclib.ProtocolT1))
			if !bytes.HasPrefix(body[4:], []byte(d.name+"\x00")) ||
				byteOrder.Uint32(body) != 0x12345678 {
				code = uint32(sclib.ErrUnknownReader)
			}
		case cmdReconnect:
			put(16, uint32(sclib.ProtocolT1))
		case cmdTransmit, cmdControl:
			in, length := 12, 24
			if command == cmdControl {
				in, length = 8, 16
			}
			payload := make([]byte, byteOrder.Uint32(body[in:]))
			io.ReadFull(conn, payload)
			if code == 0 {
				d.mu.Lock()
				answer := d.answer
				d.mu.Unlock()
				after = answer(payload)
				put(length, uint32(len(after)))
				if d.length != 0 {
					put(length, uint32(d.length))
				}
			}
		case cmdGetAttrib:
			put(8+264, uint32(copy(body[8:], "ACME")))
			if d.length != 0 {
				put(8+264, uint32(d.length))
			}
		}
		if command != cmdEstablishContext && command != cmdVersion && command != cmdConnect &&
			byteOrder.Uint32(body) != 0xCAFE {
			code = uint32(sclib.ErrInvalidHandle)
		}
		put(len(body)-4, code)
		conn.Write(append(body, after...))
	}
}

func (d *daemon) states() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	raw := make([]byte, 16*184)
	if d.name == "" {
		return raw
	}
	copy(raw, d.name)
	byteOrder.PutUint32(raw[132:], uint32(d.state))
	copy(raw[140:], d.atr)
	byteOrder.PutUint32(raw[176:], uint32(len(d.atr)))
	byteOrder.PutUint32(raw[180:], uint32(sclib.ProtocolT1))
	return raw
}

func connect(t *testing.T, d *daemon) (*sclib.Context, *sclib.Card) {
	t.Helper()
	sc := sclib.New(&Backend{path: d.path})
	t.Cleanup(func() { sc.Release() })
	names, err := sc.ListReaders(t.Context())
	if err != nil || len(names) != 1 || names[0] != d.name {
		t.Fatalf("readers %q, %v", names, err)
	}
	card, err := sc.Connect(t.Context(), names[0], sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	return sc, card
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got %v, want %v", err, target)
	}
}

func TestLifeOfACard(t *testing.T) {
	d := newDaemon(t)
	sc, card := connect(t, d)
	ctx := t.Context()
	status, err := card.Status(ctx)
	if err != nil || status.Protocol != sclib.ProtocolT1 || !bytes.Equal(status.ATR, d.atr) ||
		!status.State.Has(sclib.CardPresent) {
		t.Errorf("status %+v, %v", status, err)
	}
	if err := card.BeginTransaction(ctx); err != nil {
		t.Error(err)
	}
	for _, size := range []int{4, 261, sclib.MaxCommand - 10} {
		command := bytes.Repeat([]byte{7}, size)
		if answer, err := card.Transmit(ctx, command); err != nil ||
			!bytes.Equal(answer, append(command, 0x90, 0)) {
			t.Errorf("%d bytes: got %d, %v", size, len(answer), err)
		}
	}
	if err := card.EndTransaction(ctx, sclib.ResetCard); err != nil {
		t.Error(err)
	}
	if answer, err := card.Control(ctx, sclib.CtlCode(1), []byte{1}); err != nil ||
		!bytes.Equal(answer, []byte{1, 0x90, 0}) {
		t.Errorf("control % X, %v", answer, err)
	}
	if value, err := card.GetAttrib(ctx, sclib.AttrVendorName); err != nil ||
		string(value) != "ACME" {
		t.Errorf("attribute %q, %v", value, err)
	}
	if err := card.Disconnect(sclib.UnpowerCard); err != nil {
		t.Error(err)
	}
	if err := sc.Release(); err != nil {
		t.Error(err)
	}
	got := d.seen()
	expected := []uint32{cmdEstablishContext, cmdConnect, cmdBeginTransaction, cmdTransmit,
		cmdTransmit, cmdTransmit, cmdReconnect,
		cmdEndTransaction, cmdControl, cmdGetAttrib, cmdDisconnect}
	if len(got) != len(expected) {
		t.Fatalf("the daemon received %v", got)
	}
	for i := range got {
		if got[i] != expected[i] {
			t.Errorf("the daemon received %v", got)
		}
	}
}

func TestReturnCodes(t *testing.T) {
	tests := []struct {
		name string
		code uint32
		want error
		next error // of the next Transmit, without the code
	}{
		{"the card was removed", 0x80100069, sclib.ErrRemovedCard, sclib.ErrRemovedCard},
		{"another program reset the card", 0x80100068, sclib.ErrResetCard, sclib.ErrResetCard},
		{"a failed exchange", 0x80100016, sclib.ErrNotTransacted, nil},
		{"pcsc-lite's number for an unsupported feature", 0x8010001F, sclib.ErrUnsupportedFeature,
			nil},
		{"an unknown handle", 0x80100003, sclib.ErrReaderUnavailable, sclib.ErrReaderUnavailable},
		{"the reader was unplugged", 0x80100017, sclib.ErrReaderUnavailable,
			sclib.ErrReaderUnavailable},
		{"a code that is not in the list", 0x801000FE, sclib.Error(0x801000FE), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDaemon(t)
			_, card := connect(t, d)
			d.set(func() { d.codes[cmdTransmit] = test.code })
			_, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0})
			want(t, err, test.want)
			d.set(func() { delete(d.codes, cmdTransmit) })
			_, err = card.Transmit(t.Context(), []byte{0, 0, 0, 0})
			want(t, err, test.next)
			if err := card.Disconnect(sclib.LeaveCard); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWithoutADaemon(t *testing.T) {
	d := newDaemon(t)
	d.set(func() { d.version = 9 })
	sc := sclib.New(&Backend{path: d.path})
	defer sc.Release()
	_, err := sc.ListReaders(t.Context())
	want(t, err, sclib.ErrNoService)
	if !strings.Contains(err.Error(), "version 9") {
		t.Error(err)
	}
	d.stop()
	_, err = sc.ListReaders(t.Context())
	want(t, err, sclib.ErrNoService)
	d.set(func() { d.version = 0 })
	d.start(t)
	if _, err = sc.ListReaders(t.Context()); err != nil {
		t.Errorf("after the daemon was started: %v", err)
	}
}

func TestADaemonThatEnds(t *testing.T) {
	d := newDaemon(t)
	sc, card := connect(t, d)
	d.set(func() { d.answer = func([]byte) []byte { d.stop(); <-t.Context().Done(); return nil } })
	_, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrReaderUnavailable)
	if err := card.Disconnect(sclib.ResetCard); err != nil {
		t.Error(err)
	}
	d.start(t)
	if _, err := sc.ListReaders(t.Context()); err != nil &&
		!errors.Is(err, sclib.ErrServiceStopped) {
		t.Fatal(err)
	}
	if names, err := sc.ListReaders(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("after a restart: %q, %v", names, err)
	}
}

func TestACancelledExchange(t *testing.T) {
	d := newDaemon(t)
	_, card := connect(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	d.set(func() { d.answer = func([]byte) []byte { cancel(); <-t.Context().Done(); return nil } })
	_, err := card.Transmit(ctx, []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrCanceled)
	_, err = card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrResetCard)
	d.set(func() { d.answer = func([]byte) []byte { return []byte{0x90, 0} } })
	if err := card.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
		sclib.LeaveCard); err != nil {
		t.Fatal(err)
	}
	if _, err = card.Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
}

func TestWrongLengths(t *testing.T) {
	d := newDaemon(t)
	calls := map[string]func(card *sclib.Card) error{
		"Transmit": func(card *sclib.Card) error {
			_, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0})
			return err
		},
		"Control": func(card *sclib.Card) error {
			_, err := card.Control(t.Context(), 1, nil)
			return err
		},
		"GetAttrib": func(card *sclib.Card) error {
			_, err := card.GetAttrib(t.Context(), 1)
			return err
		},
	}
	for name, call := range calls {
		for _, length := range []int{sclib.MaxResponse + 1, 1<<31 - 1, -1} {
			d.set(func() { d.length = 0 })
			_, card := connect(t, d)
			d.set(func() { d.length = length })
			if err := call(card); err == nil {
				t.Errorf("%s accepted a length of %d", name, length)
			}
		}
	}
}

func TestATransactionOfAnotherProgram(t *testing.T) {
	calls := []struct {
		name    string
		command uint32
		do      func(ctx context.Context, card *sclib.Card) error
	}{
		{"BeginTransaction", cmdBeginTransaction,
			func(ctx context.Context, card *sclib.Card) error {
				if err := card.BeginTransaction(ctx); err != nil {
					return err
				}
				return card.EndTransaction(ctx, sclib.LeaveCard)
			}},
		{"Transmit", cmdTransmit, func(ctx context.Context, card *sclib.Card) error {
			_, err := card.Transmit(ctx, []byte{0, 0, 0, 0})
			return err
		}},
		{"Control", cmdControl, func(ctx context.Context, card *sclib.Card) error {
			_, err := card.Control(ctx, 1, nil)
			return err
		}},
		{"Reconnect", cmdReconnect, func(ctx context.Context, card *sclib.Card) error {
			return card.Reconnect(ctx, sclib.ShareShared, sclib.ProtocolAny, sclib.LeaveCard)
		}},
	}
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			d := newDaemon(t)
			_, card := connect(t, d)
			d.set(func() { d.codes[call.command] = uint32(sclib.ErrSharing) })
			time.AfterFunc(3*transactionPoll,
				func() { d.set(func() { delete(d.codes, call.command) }) })
			if err := call.do(t.Context(), card); err != nil {
				t.Error(err)
			}
			d.set(func() { d.codes[call.command] = uint32(sclib.ErrSharing) })
			short, cancel := context.WithTimeout(t.Context(), 3*transactionPoll)
			defer cancel()
			want(t, call.do(short, card), sclib.ErrTimeout)
		})
	}
}

func TestAReaderIsUnpluggedAndPluggedIn(t *testing.T) {
	d := newDaemon(t)
	sc, card := connect(t, d)
	d.set(func() { d.name = "" })
	_, err := sc.ListReaders(t.Context())
	want(t, err, sclib.ErrNoReaders)
	_, err = card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrReaderUnavailable)
	d.set(func() { d.name = "ACME 00 00" })
	connect(t, d)
}

func TestParseStates(t *testing.T) {
	entry := func(name string, state, length, protocol uint32) []byte {
		b := make([]byte, stateSize)
		copy(b, name)
		byteOrder.PutUint32(b[stateOfState:], state)
		copy(b[stateOfATR:], bytes.Repeat([]byte{0x3B}, 33))
		byteOrder.PutUint32(b[stateOfATRLength:], length)
		byteOrder.PutUint32(b[stateOfProtocol:], protocol)
		return b
	}
	tests := []struct {
		name     string
		raw      []byte
		readers  int
		atr      int
		protocol sclib.Protocol
		mute     bool
	}{
		{"nothing", nil, 0, 0, 0, false},
		{"a free place", entry("", 4, 2, 1), 0, 0, 0, false},
		{"a card", entry("A", 4, 2, 1), 1, 2, sclib.ProtocolT0, false},
		{"the longest ATR", entry("A", 4, 33, 2), 1, 33, sclib.ProtocolT1, false},
		{"an ATR that is too long", entry("A", 4, 34, 2), 1, 0, sclib.ProtocolT1, false},
		{"the greatest length", entry("A", 4, 0xFFFFFFFF, 2), 1, 0, sclib.ProtocolT1, false},
		{"the ATR of a card that was removed", entry("A", 2, 2, 0xFFFFFFFF&^7), 1, 0, 0, false},
		{"a card that did not answer to its reset", entry("A", 0x0C, 0, 0), 1, 0, 0, true},
		{"a name without an end", entry(strings.Repeat("A", nameSize), 4, 2, 1), 0, 0, 0, false},
		{"half an entry", entry("A", 4, 2, 1)[:stateSize-1], 0, 0, 0, false},
	}
	for _, test := range tests {
		states := parseStates(test.raw)
		if len(states) != test.readers {
			t.Errorf("%s: %d readers", test.name, len(states))
		} else if len(states) == 1 {
			got := states[0].status
			if len(got.ATR) != test.atr || got.Protocol != test.protocol || got.Mute != test.mute {
				t.Errorf("%s: %+v", test.name, got)
			}
		}
	}
	if stateSize != 184 {
		t.Errorf("a state is %d bytes", stateSize)
	}
}
