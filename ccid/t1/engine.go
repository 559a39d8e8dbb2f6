// Package t1 is the interface device's side of the block protocol T=1.
//
// Specification: ISO/IEC 7816-3:2006, clause 11; the rule numbers in comments are those of 11.6.3.
package t1

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The machine. One call of Transmit is one pass through it; between calls it is in step (both
// sequence numbers agree with the card's) or lost.
//
//	state       sent last            expected
//	sending     I-block, more = 1    R-block that acknowledges it
//	sent        I-block, more = 0    I-block
//	receiving   R-block              next I-block of the card's chain
//	lost        nothing              the next call starts with S(RESYNCH request)
//
//	event                              sending              sent                 receiving
//	R, N(R) = ours                     I-block again        I-block again        R-block again
//	R, N(R) = next                     next I-block         last block again     R-block again
//	I, N(S) as expected                invalid              taken; R or end      taken; R or end
//	I, other N(S)                      invalid              invalid              invalid
//	S(WTX request)                     S(WTX response), next wait multiplied; at most maxWTX
//	                                   and Config.Limit
//	S(IFS request)                     S(IFS response), IFSC set; at most maxIFS
//	S(ABORT request)                   S(ABORT response), then R: ErrAborted; I: a new answer
//	invalid block, or none in time     R-block with the reason, rules 7.1 to 7.3; after S-request
//	                                   that request again
//	third invalid block in a row       lost, S(RESYNCH request) up to three times, rules 6, 7.4.2
//	resynchronised                     from the start       ErrLost              ErrLost
//	                                   (once; else ErrLost)
//	link error, context ends           lost, error
//	answer longer than the buffer      read to its end, *apdu.ShortBufferError
//
// A command whose last block was sent is never sent again after a resynchronisation: the card may
// have executed it, and would count a second presentation of a PIN.
const (
	// maxTries is how often a block may fail before resynchronisation: the first time and two more
	// (rule 7.4.2).
	maxTries = 3
	// maxResynch is how often resynchronisation is tried (rule 6.4).
	maxResynch = 3
	// maxWTX bounds waiting time extensions in a call, maxIFS and maxAborts other requests of the
	// card, and maxEmpty its chained blocks without content (policy: the standard has no bound).
	maxWTX    = 4096
	maxIFS    = 16
	maxAborts = 2
	maxEmpty  = 16
)

// Errors of a call. Those of the link are passed through.
var (
	// ErrNoBlock is the error of a Link if the card has sent nothing, or nothing readable, in time.
	// The machine recovers from it.
	ErrNoBlock = errors.New("t1: no block from the card")
	// ErrLost is the error for a loss of synchronisation. Card and machine are in step again, but
	// the command may have been executed.
	ErrLost = errors.New("t1: answer lost")
	// ErrDead is the error if the card does not resynchronise. It needs a reset; the next call
	// tries to resynchronise once more.
	ErrDead = errors.New("t1: card does not resynchronise")
	// ErrAborted is the error if the card has aborted the command.
	ErrAborted = errors.New("t1: aborted by the card")
	// ErrCard is the error for a card that violates the protocol without end.
	ErrCard = errors.New("t1: card breaks the protocol")
	// ErrLimit is the error for a card that requests more time than Config.Limit.
	ErrLimit = errors.New("t1: card takes too long")
)

// Link exchanges blocks with the card.
type Link interface {
	// Exchange sends a block and returns the card's, which stays valid until the next call. The
	// extension multiplies the block waiting time once; 0 is none. ErrNoBlock, wrapped, is the
	// error when none came.
	Exchange(ctx context.Context, block []byte, extension uint8) (answer []byte, err error)
}

// Config has the parameters of a session.
type Config struct {
	NAD byte
	CRC bool
	// IFSC is the card's information field size from its answer to reset, IFSD the machine's own,
	// as the card has it (see NegotiateIFSD). 0 stands for 32 (ISO/IEC 7816-3:2006, 11.4.2).
	IFSC, IFSD uint8
	// MaxINF bounds the information field of blocks sent, beside IFSC. 0 is no bound.
	MaxINF uint8
	// Limit bounds a call with all its waiting time extensions. 0 is no bound.
	Limit time.Duration
}

const defaultIFS = 32 // ISO/IEC 7816-3:2006, 11.4.2

// Engine is one session of T=1. It allocates nothing in a call that succeeds. It is not safe for
// concurrent use.
type Engine struct {
	link Link
	c    Config
	ifsc uint8
	ns   byte // N(S) of the next I-block, or of the one that was sent last
	nr   byte // N(S) expected of the card
	lost bool
	// negotiated is the IFSD that the card has agreed to, 0 without an agreement.
	negotiated uint8

	out  [MaxBlock]byte
	outN int
}

// New returns a session in the state after a reset of the card.
func New(link Link, c Config) *Engine {
	e := &Engine{link: link}
	e.Reset(c)
	return e
}

// Reset starts the session anew, after a reset of the card.
func (e *Engine) Reset(c Config) {
	if c.IFSC == 0 {
		c.IFSC = defaultIFS
	}
	if c.IFSD == 0 {
		c.IFSD = defaultIFS
	}
	e.c, e.ifsc = c, min(c.IFSC, maxINF)
	e.ns, e.nr, e.lost, e.negotiated = 0, 0, false, 0
	e.Wipe()
}

// Lose reports to the machine that a block may have been lost outside of it: the next call
// resynchronises first.
func (e *Engine) Lose() { e.lost = true }

// IFSC is the size of the largest information field that the card takes now, in bytes.
func (e *Engine) IFSC() int { return int(e.ifsc) }

// IFSD is the size of the largest information field that the card may send, in bytes.
func (e *Engine) IFSD() int {
	if e.negotiated != 0 {
		return int(e.negotiated)
	}
	return int(e.c.IFSD)
}

// Wipe clears the last block that was sent. Those of the card are the link's.
func (e *Engine) Wipe() { clear(e.out[:]) }

// put builds the block that is sent next.
func (e *Engine) put(pcb byte, inf []byte) {
	b := append(e.out[:0], e.c.NAD, pcb, byte(len(inf)))
	b = append(b, inf...)
	e.outN = len(appendEDC(b, e.c.CRC))
}

// swap sends the block that put has built and parses the card's. The error is the link's.
func (e *Engine) swap(ctx context.Context, extension uint8) (block, error) {
	answer, err := e.link.Exchange(ctx, e.out[:e.outN], extension)
	switch {
	case errors.Is(err, ErrNoBlock):
		return block{kind: blockInvalidEDC}, nil
	case err != nil:
		e.lost = true
		return block{}, err
	}
	return decode(answer, e.c.CRC), nil
}

// resynch brings machine and card back to the start of the protocol (rule 6).
func (e *Engine) resynch(ctx context.Context) error {
	e.lost = true
	for range maxResynch {
		e.put(pcbS|sResynch, nil)
		b, err := e.swap(ctx, 0)
		if err != nil {
			return err
		}
		if b.kind != blockS || !b.isReply() || b.sKind() != sResynch {
			continue
		}
		e.ns, e.nr, e.lost = 0, 0, false
		e.ifsc = min(e.ifsc, e.c.IFSC, maxINF)
		if want := e.negotiated; want != 0 {
			err = e.NegotiateIFSD(ctx, want)
			// a card that has resynchronised is in step, whether it accepts IFSD or not
			e.lost = false
		}
		return err
	}
	return ErrDead
}

// NegotiateIFSD sends the card the size of the information fields that it may send, 1 to 254 bytes
// (rule 4). A card that does not agree keeps to 32 bytes, which is no error; the next call
// resynchronises first.
func (e *Engine) NegotiateIFSD(ctx context.Context, ifsd uint8) error {
	if ifsd == 0 || ifsd > maxINF {
		return fmt.Errorf("%w: IFSD %d", ErrCard, ifsd)
	}
	started := time.Now()
	var extension uint8
	requests := 0
	inf := [1]byte{ifsd}
	for tries := 0; tries < maxTries; {
		e.put(pcbS|sIFS, inf[:])
	again:
		b, err := e.swap(ctx, extension)
		if err != nil {
			return err
		}
		extension = 0
		switch {
		case b.kind == blockS && b.isReply() && b.sKind() == sIFS && b.inf[0] == ifsd:
			e.negotiated = ifsd
			return nil
		case b.kind == blockS && !b.isReply() && (b.sKind() == sWTX || b.sKind() == sIFS):
			if requests++; requests > maxIFS || e.late(started) {
				return ErrLimit
			}
			if extension, err = e.serve(b); err != nil {
				tries++
				continue
			}
			goto again
		}
		tries++
	}
	e.negotiated, e.lost = 0, true
	return nil
}

// serve builds the response to a WTX or IFS request.
func (e *Engine) serve(b block) (extension uint8, err error) {
	value := b.inf[0]
	if b.sKind() == sIFS {
		if value == 0 || value > maxINF { // ISO/IEC 7816-3:2006, 11.4.2
			return 0, ErrCard
		}
		e.ifsc = value
	} else {
		extension = max(1, value)
	}
	inf := [1]byte{value}
	e.put(pcbS|pcbSReply|b.sKind(), inf[:])
	return extension, nil
}

func (e *Engine) late(started time.Time) bool {
	return e.c.Limit > 0 && time.Since(started) > e.c.Limit
}
