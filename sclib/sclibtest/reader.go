package sclibtest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tamaccid/sclib"
)

// A Card is a card to insert into a Reader.
type Card struct {
	ATR       []byte         // the answer to reset
	Protocols sclib.Protocol // the supported protocols; T=1 if none is set
	// Answer returns the response APDU for a command APDU. It may sleep, and may call the methods
	// of the reader that this package adds to sclib.Reader.
	Answer func(command []byte) []byte
}

// A Reader is an sclib.Reader, one slot.
type Reader struct {
	name string

	mu         sync.Mutex
	inside     bool // a call is in progress
	gone       bool
	silent     bool // Status reports no state
	card       *Card
	powered    bool
	active     sclib.Protocol
	connected  bool
	mode       sclib.ShareMode
	failures   map[string]error
	controls   map[uint32]func(in []byte) []byte
	attributes map[sclib.Attrib][]byte
	log        []string
	looks      int // calls of Status
}

// NewReader returns an empty reader.
func NewReader(name string) *Reader {
	return &Reader{name: name, failures: map[string]error{},
		controls:   map[uint32]func([]byte) []byte{},
		attributes: map[sclib.Attrib][]byte{}}
}

// Insert inserts a card. It replaces a card that is present.
func (r *Reader) Insert(card Card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if card.Protocols == sclib.ProtocolUndefined {
		card.Protocols = sclib.ProtocolT1
	}
	r.card, r.powered, r.active = &card, false, sclib.ProtocolUndefined
}

// Remove removes the card.
func (r *Reader) Remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.card, r.powered, r.active = nil, false, sclib.ProtocolUndefined
}

// Silence makes Status report CardUnknown, until Silence(false).
func (r *Reader) Silence(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = on
}

// Fail makes a method return an error, until Fail with nil. The name of the method is in lower
// case, as in Log.
func (r *Reader) Fail(method string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures[method] = err
}

// HandleControl sets the function that answers a control code. It may sleep, and may call the
// methods of the reader that this package adds to sclib.Reader.
func (r *Reader) HandleControl(code uint32, answer func(in []byte) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.controls[code] = answer
}

// SetAttrib sets the value of an attribute.
func (r *Reader) SetAttrib(attribute sclib.Attrib, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attributes[attribute] = value
}

// Connected reports whether the reader is connected, and the share mode of the last connection.
func (r *Reader) Connected() (sclib.ShareMode, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode, r.connected
}

// Looks returns how often Status was called.
func (r *Reader) Looks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looks
}

// Log returns the calls since the last Log: "connect shared leave", "transmit 00 A4 04 00",
// "disconnect leave". It omits Status, Control and GetAttrib.
func (r *Reader) Log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

var modes = map[sclib.ShareMode]string{
	sclib.ShareExclusive: "exclusive", sclib.ShareShared: "shared", sclib.ShareDirect: "direct",
}

var dispositions = map[sclib.Disposition]string{
	sclib.LeaveCard: "leave", sclib.ResetCard: "reset",
	sclib.UnpowerCard: "unpower", sclib.EjectCard: "eject",
}

// enter begins a call. Without an error the call must end with leave.
func (r *Reader) enter(method, entry string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry != "" {
		r.log = append(r.log, entry)
	}
	switch {
	case r.inside:
		return fmt.Errorf("%w: two calls at once", sclib.ErrInternal)
	case r.gone:
		return sclib.ErrReaderUnavailable
	case r.failures[method] != nil:
		return r.failures[method]
	}
	r.inside = true
	return nil
}

// leave ends a call with r.mu held.
func (r *Reader) leave() {
	r.inside = false
	r.mu.Unlock()
}

// Name implements sclib.Reader.
func (r *Reader) Name() string { return r.name }

// Status implements sclib.Reader.
func (r *Reader) Status(ctx context.Context) (sclib.ReaderStatus, error) {
	if err := r.enter("status", ""); err != nil {
		return sclib.ReaderStatus{}, err
	}
	r.mu.Lock()
	defer r.leave()
	r.looks++
	switch {
	case r.silent:
		return sclib.ReaderStatus{State: sclib.CardUnknown}, nil
	case r.card == nil:
		return sclib.ReaderStatus{State: sclib.CardAbsent}, nil
	case !r.powered:
		return sclib.ReaderStatus{State: sclib.CardPresent | sclib.CardSwallowed}, nil
	}
	return sclib.ReaderStatus{
		State:    sclib.CardPresent | sclib.CardPowered | sclib.CardSpecific,
		Protocol: r.active,
		ATR:      slices.Clone(r.card.ATR),
	}, nil
}

// Connect implements sclib.Reader.
func (r *Reader) Connect(ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol,
	reset sclib.Disposition) (sclib.Protocol, error) {
	if err := r.enter("connect", "connect "+modes[mode]+" "+dispositions[reset]); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.leave()
	r.connected = false
	if mode == sclib.ShareDirect {
		r.connected, r.mode = true, mode
		return sclib.ProtocolUndefined, nil
	}
	if r.card == nil {
		return 0, sclib.ErrNoCard
	}
	if reset != sclib.LeaveCard || r.active&protocols == 0 {
		r.powered, r.active = false, sclib.ProtocolUndefined
	}
	if r.active == sclib.ProtocolUndefined {
		common := protocols & r.card.Protocols
		if common == 0 {
			return 0, sclib.ErrProtocolMismatch
		}
		r.active = sclib.ProtocolT0
		for r.active&common == 0 {
			r.active <<= 1
		}
	}
	r.powered, r.connected, r.mode = true, true, mode
	return r.active, nil
}

// Disconnect implements sclib.Reader.
func (r *Reader) Disconnect(ctx context.Context, disposition sclib.Disposition) error {
	if err := r.enter("disconnect", "disconnect "+dispositions[disposition]); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.leave()
	if disposition == sclib.EjectCard {
		return sclib.ErrUnsupportedFeature
	}
	if !r.connected {
		return fmt.Errorf("%w: Disconnect without Connect", sclib.ErrInternal)
	}
	r.connected = false
	if disposition != sclib.LeaveCard {
		r.powered, r.active = false, sclib.ProtocolUndefined
	}
	return nil
}

// Transmit implements sclib.Reader.
func (r *Reader) Transmit(ctx context.Context, command, response []byte) (int, error) {
	if err := r.enter("transmit", fmt.Sprintf("transmit % X", command)); err != nil {
		return 0, err
	}
	r.mu.Lock()
	card := r.card
	switch {
	case !r.connected || r.mode == sclib.ShareDirect:
		defer r.leave()
		return 0, fmt.Errorf("%w: Transmit without Connect", sclib.ErrInternal)
	case card == nil:
		defer r.leave()
		return 0, sclib.ErrNoCard
	case !r.powered:
		defer r.leave()
		return 0, sclib.ErrUnpoweredCard
	}
	r.mu.Unlock()
	answer := card.Answer(command)
	r.mu.Lock()
	defer r.leave()
	switch {
	case r.gone:
		return 0, sclib.ErrReaderUnavailable
	case r.card != card:
		return 0, sclib.ErrNoCard // removed during the exchange
	case len(answer) > len(response):
		return 0, sclib.ErrInsufficientBuffer
	}
	return copy(response, answer), nil
}

// Control implements sclib.Reader.
func (r *Reader) Control(ctx context.Context, controlCode uint32, in, out []byte) (int, error) {
	if err := r.enter("control", ""); err != nil {
		return 0, err
	}
	r.mu.Lock()
	answer, ok := r.controls[controlCode]
	if !ok {
		defer r.leave()
		return 0, sclib.ErrUnsupportedFeature
	}
	r.mu.Unlock()
	value := answer(in)
	r.mu.Lock()
	defer r.leave()
	return fill(out, value)
}

// GetAttrib implements sclib.Reader.
func (r *Reader) GetAttrib(ctx context.Context, attribute sclib.Attrib, out []byte) (int, error) {
	if err := r.enter("getattrib", ""); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.leave()
	value, ok := r.attributes[attribute]
	if !ok {
		return 0, sclib.ErrUnsupportedFeature
	}
	return fill(out, value)
}

// fill copies a value to out.
func fill(out, value []byte) (int, error) {
	if len(value) > len(out) {
		return 0, sclib.ErrInsufficientBuffer
	}
	return copy(out, value), nil
}
