// Package pipe moves CCID messages to a reader and back: over bulk endpoints (CCID 1.1, clause 6),
// or as requests on the control endpoint of an ICCD, version A or B (ICCD 1.0, clauses 6 and 7).
// Input is a command with its payload, output a response that was checked: type, slot, sequence
// number, length. Both kinds bring a slot back in step after a command that got no proper answer.
// What a response means for the card is the business of package ccid.
//
//	pipe.go      Pipe and Slot, what both kinds have in common; start reading here
//	message.go   the format of messages
//	buffer.go    the buffers of a slot
//	bulk.go      messages on bulk endpoints; routing.go, resync.go belong to it
//	routing.go   responses that another slot's read has received
//	resync.go    the abort sequence
//	iccd.go      messages as control requests; phases.go, T=0 on version A, belongs to it
package pipe

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// Errors of an exchange, besides those of package usb and of the context. Package ccid exports
// those that a caller decides on.
var (
	ErrProtocol = errors.New("ccid: protocol error")
	ErrTimeout  = errors.New("ccid: reader timed out")
	ErrBusy     = errors.New("ccid: slot busy")
	// ErrLost is added to an error after which the slot is in step again, or was never out of it:
	// the answer is lost, and a command without effect on the card may be repeated.
	ErrLost = errors.New("answer lost")
)

// What happens to a command. Failures leave the slot in step, or stale (Slot.Stale); the reader may
// still owe a stale slot an answer, and the slot is brought back in step before its next command.
//
//	event                                       treatment                          result
//	answer fits (type, slot, sequence, length)  -                                  answer
//	answer of another slot                      routed to that slot                wait on
//	answer of an older command                  dropped, at most MaxStale          wait on
//	zero-length packet                          read again, at most MaxEmpty       wait on
//	time extension                              wait x bError, up to Waits.Limit   wait on
//	                                            and MaxExtensions
//	command failed                              -                                  answer
//	IN stalls or breaks                         halt cleared once; answer          answer or stale
//	                                            awaited for Waits.Halt
//	OUT stalls                                  halt cleared, sent once more       answer or stale
//	answer malformed, of the wrong type         stale, resync                      ErrProtocol
//	no answer in time                           stale, resync                      usb.ErrTimeout
//	context ends                                stale, resync within Waits.Cancel  ctx.Err()
//	reader unplugged or closed                  nothing                            usb.ErrGone
//
// Slot busy, a command that the reader has aborted, and the repetition of a lost command are
// handled in package ccid (command.go).

// Bounds of what a reader may send before the answer that is waited for.
const (
	// MaxStale bounds the answers to older commands (policy: no reader queues more).
	MaxStale = 64
	// MaxEmpty bounds zero-length packets in a row (policy).
	MaxEmpty = 16
	// MaxExtensions bounds time extensions of one command; Waits.Limit bounds their time (policy).
	MaxExtensions = 4096
)

// Waits are the waits that no standard fixes; ccid.Timing describes them.
type Waits struct {
	Write, Answer, Abort, Cancel, Halt, Limit time.Duration
	// between two requests to an ICCD at work
	Poll time.Duration
}

// Config describes a reader.
type Config struct {
	Transport usb.Transport
	Interface uint8 // bInterfaceNumber
	Slots     int   // the slots that are used, from number 0 on
	// MaxPayload is the longest payload that is taken from the reader.
	MaxPayload int
	// Shared is set if the reader works on commands of several slots at once.
	Shared bool
	Waits  Waits
	// Done is closed when the reader has gone.
	Done <-chan struct{}
}

// exchanger is what the kinds of device do differently.
type exchanger interface {
	// roundTrip sends the command and waits for its answer, time extensions included. Failed
	// commands are answers. After an error the reader may still be busy with the command, unless
	// the error wraps ErrLost.
	roundTrip(ctx context.Context, s *Slot, c Command) (Answer, error)
	// resync brings a stale slot back in step before a command of type next. It ends with ctx, and
	// has bounds of its own.
	resync(ctx context.Context, s *Slot, next MessageType) error
	// wipe clears what the exchanger itself keeps of commands and answers.
	wipe()
}

// Pipe exchanges messages with one reader.
type Pipe struct {
	Config
	kind      exchanger
	slots     []*Slot
	control   wait.Semaphore // the control endpoint
	packet    int            // wMaxPacketSize of bulk IN, 1 without one
	kept      int            // size of the inbound buffers that a slot keeps, whole packets
	largest   int            // size of the longest message from the reader, whole packets
	abandoned atomic.Bool
}

func newPipe(c *Config) *Pipe {
	p := &Pipe{Config: *c, control: wait.NewSemaphore(1)}
	p.sizes(1)
	for i := range c.Slots {
		p.slots = append(p.slots, &Slot{p: p, index: uint8(i)})
	}
	return p
}

// Slot is the slot with that number.
func (p *Pipe) Slot(index int) *Slot { return p.slots[index] }

// Abandon is for a reader that is about to be closed: slots are no longer brought back in step at
// once.
func (p *Pipe) Abandon() { p.abandoned.Store(true) }

// ClassRequest does one class request to the interface; direction is usb.DirIn or usb.DirOut.
// Requests of several callers follow each other.
func (p *Pipe) ClassRequest(
	ctx context.Context, direction, request uint8, value uint16, data []byte, limit time.Duration,
) (int, error) {
	if err := p.control.Acquire(ctx); err != nil {
		return 0, err
	}
	defer p.control.Release()
	n, err := p.Transport.Control(ctx, usb.Setup{
		RequestType: direction | usb.TypeClass | usb.ToInterface,
		Request:     request, Value: value, Index: uint16(p.Interface), Length: uint16(len(data)),
	}, data, limit)
	if err == nil && (n < 0 || n > len(data)) {
		err = usb.ErrBabble
	}
	return n, err
}

// Command is one message to the reader. Its payload is already in the slot's buffer (Slot.Load,
// Slot.Payload).
type Command struct {
	Type MessageType
	P    [3]byte // bytes 7 to 9 of the header
	N    int     // length of the payload
	// Want is the payload expected at most, which sizes the first read; longer answers are read to
	// their end.
	Want int
	Wait time.Duration // for the answer
	// Repeat is set if the command changes nothing on the card and may be sent again when its
	// answer was lost.
	Repeat bool
	// Phases is set if the payload is a T=0 command TPDU for an ICCD of version A at character
	// level (phases.go).
	Phases bool
}

// Answer is a response. Data is a view of the slot's buffer, valid until the next command.
type Answer struct {
	Header
	Data []byte
}

// Slot has the sequence number and the buffers of one slot of a Pipe. Its methods are called by one
// goroutine at a time, between Begin and End.
type Slot struct {
	p       *Pipe
	index   uint8
	seq     uint8
	stale   bool
	out, in []byte
	scratch [HeaderSize]byte
	routed  routed
}

// Exchange sends a command and waits for its answer. A stale slot is brought back in step before.
func (s *Slot) Exchange(ctx context.Context, c Command) (Answer, error) {
	if s.stale {
		if err := s.p.kind.resync(ctx, s, c.Type); err != nil {
			return Answer{}, err
		}
	}
	return s.p.kind.roundTrip(ctx, s, c)
}

// MarkStale has the slot brought back in step before the next command: the reader may still owe an
// answer, or be in the middle of a chain.
func (s *Slot) MarkStale() { s.stale = true }

// Stale reports whether the slot is out of step.
func (s *Slot) Stale() bool { return s.stale }

// broken reports whether a transfer failed in a way that halts the endpoint but does not mean that
// the answer is lost.
func broken(err error) bool {
	return errors.Is(err, usb.ErrStall) || errors.Is(err, usb.ErrTransfer) ||
		errors.Is(err, usb.ErrBabble)
}
