package t1

import (
	"context"
	"time"

	"tamaccid/ccid/apdu"
)

// turn is the state of one call.
type turn struct {
	command  []byte
	response apdu.Response
	pos      int // start of the chunk that was sent last
	chunk    int // its length
	out      bool
	started  time.Time
	tries    int
	wtx      int
	ifs      int
	aborts   int
	empty    int
	aborted  bool
	restart  bool // the command was sent from the start once already
	repair   bool // the block that was sent last requests a repetition
}

// more reports whether chunks follow the one that was sent last.
func (t *turn) more() bool { return t.pos+t.chunk < len(t.command) }

// Transmit sends a command and reads the card's answer into response; n is its length. Errors:
// ErrLost, ErrDead, ErrAborted, ErrCard, ErrLimit, *apdu.ShortBufferError, and those of the link.
func (e *Engine) Transmit(ctx context.Context, command, response []byte) (n int, err error) {
	if e.lost {
		if err := e.resynch(ctx); err != nil {
			return 0, err
		}
	}
	t := turn{command: command, response: apdu.ResponseIn(response), started: time.Now()}
	e.putI(&t)
	b, err := e.swap(ctx, 0)
	if err != nil {
		return 0, err
	}
	return e.run(ctx, &t, b)
}

// Prologue returns NAD, PCB and LEN of a whole I-block with n bytes, for a reader that fills in the
// content itself (a PIN). Complete follows with the card's block, or Lose if it is not known
// whether the block was sent.
func (e *Engine) Prologue(n int) [prologueSize]byte {
	return [prologueSize]byte{e.c.NAD, e.ns << 6, byte(n)}
}

// Complete goes on after the card's answer to a block whose prologue Prologue gave. The answer must
// stay valid until the next exchange on the link. Retransmission of that block is not possible: a
// card that asks for it makes the call fail with ErrLost.
func (e *Engine) Complete(ctx context.Context, answer, response []byte) (n int, err error) {
	t := turn{response: apdu.ResponseIn(response), started: time.Now(), out: true, restart: true}
	e.outN = 0
	return e.run(ctx, &t, decode(answer, e.c.CRC))
}

// putI builds the I-block for the chunk at t.pos.
func (e *Engine) putI(t *turn) {
	size := int(e.ifsc)
	if e.c.MaxINF != 0 {
		size = min(size, int(e.c.MaxINF))
	}
	t.chunk = min(size, len(t.command)-t.pos)
	pcb := e.ns << 6
	if t.more() {
		pcb |= pcbIMore
	}
	t.out, t.repair = true, false
	e.put(pcb, t.command[t.pos:t.pos+t.chunk])
}

// putR builds an R-block: an acknowledgement, or with a reason the request to repeat.
func (e *Engine) putR(reason byte) { e.put(pcbNotI|e.nr<<4|reason, nil) }

// run is the machine, from the card's first block to the end of the call.
func (e *Engine) run(ctx context.Context, t *turn, b block) (int, error) {
	for {
		done, extension, err := e.step(t, b)
		if err != nil {
			e.lost = true
			return 0, err
		}
		if done {
			return e.finish(t)
		}
		if t.tries >= maxTries {
			if err := e.recover(ctx, t); err != nil {
				return 0, err
			}
		}
		if b, err = e.swap(ctx, extension); err != nil {
			return 0, err
		}
	}
}

// finish ends a call that the card has answered.
func (e *Engine) finish(t *turn) (int, error) {
	if t.aborted {
		return 0, ErrAborted
	}
	return t.response.End()
}

// recover resynchronises, and starts the command again if the card cannot have executed it.
func (e *Engine) recover(ctx context.Context, t *turn) error {
	whole := !(t.out && t.more())
	if err := e.resynch(ctx); err != nil {
		return err
	}
	if whole || t.restart {
		return ErrLost
	}
	t.response.Reset()
	*t = turn{
		command: t.command, response: t.response, started: t.started,
		wtx: t.wtx, ifs: t.ifs, aborts: t.aborts, restart: true,
	}
	e.putI(t)
	return nil
}

// step takes one block of the card and builds the block that answers it.
func (e *Engine) step(t *turn, b block) (done bool, extension uint8, err error) {
	switch b.kind {
	case blockI:
		if b.seq() != e.nr || t.out && t.more() {
			e.reject(t, rErrorOther)
			return false, 0, nil
		}
		return e.takeI(t, b)
	case blockR:
		return e.takeR(t, b), 0, nil
	case blockS:
		if b.isReply() {
			e.reject(t, rErrorOther)
			return false, 0, nil
		}
		extension, err = e.takeS(t, b)
		return false, extension, err
	case blockInvalidEDC:
		e.reject(t, rErrorEDC)
	default:
		e.reject(t, rErrorOther)
	}
	return false, 0, nil
}

// reject asks for a repetition (rule 7.1), with the same block if that request was sent last (rule
// 7.2).
func (e *Engine) reject(t *turn, reason byte) {
	t.tries++
	if t.repair && e.outN > 0 {
		return
	}
	t.repair = true
	e.putR(reason)
}

// takeI takes a chunk of the answer, which acknowledges the block that was sent last.
func (e *Engine) takeI(t *turn, b block) (done bool, extension uint8, err error) {
	if t.out {
		t.out = false
		e.ns ^= 1
	}
	t.tries, t.aborted, t.repair = 0, false, false
	e.nr ^= 1
	t.response.Append(b.inf...)
	if len(b.inf) == 0 {
		t.empty++
	}
	if t.response.Len() > apdu.MaxResponse || t.empty > maxEmpty {
		return false, 0, ErrCard
	}
	if !b.more() {
		return true, 0, nil
	}
	e.putR(0)
	return false, 0, nil
}

// takeR takes an acknowledgement, or a request to repeat the last block.
func (e *Engine) takeR(t *turn, b block) (done bool) {
	switch {
	case t.aborted: // the right to send is back (rule 9)
		e.ns = b.seq()
		return true
	case t.out && b.seq() != e.ns && t.more():
		e.ns ^= 1
		t.pos += t.chunk
		t.tries = 0
		e.putI(t)
	case t.out && b.seq() == e.ns && t.command != nil:
		t.tries++
		e.putI(t)
	case e.outN == 0: // a block that was built elsewhere cannot be sent again
		t.tries = maxTries
	default: // the block is sent once more
		t.tries++
	}
	return false
}

// takeS takes a request of the card.
func (e *Engine) takeS(t *turn, b block) (extension uint8, err error) {
	switch b.sKind() {
	case sWTX:
		if t.wtx++; t.wtx > maxWTX || e.late(t.started) {
			return 0, ErrLimit
		}
		t.tries = 0
	case sIFS:
		if t.ifs++; t.ifs > maxIFS {
			return 0, ErrCard
		}
		t.tries = 0
	case sAbort:
		if t.aborts++; t.aborts > maxAborts {
			return 0, ErrCard
		}
		// The chains of both directions end; the block that was sent last has arrived.
		if t.out {
			e.ns ^= 1
		}
		t.aborted, t.repair, t.out = true, false, false
		t.command = nil
		t.response.Reset()
		e.put(pcbS|pcbSReply|sAbort, nil)
		return 0, nil
	default: // only the interface device resynchronises (rule 6.1)
		e.reject(t, rErrorOther)
		return 0, nil
	}
	extension, err = e.serve(b)
	if err != nil {
		e.reject(t, rErrorOther)
		return 0, nil
	}
	t.repair = false
	return extension, nil
}
