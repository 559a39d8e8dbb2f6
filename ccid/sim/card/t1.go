package card

import "time"

// The card's side of T=1 (ISO 7816-3, 11).
//
//	event                              | does
//	invalid block (EDC, length, PCB)   | R block with its reason; after R blocks and S requests too
//	I block, N(S) as expected, M = 1   | takes the part, R block with the next N(S)
//	I block, N(S) as expected, M = 0   | executes the command; S(WTX) while it works; then I blocks
//	I block, other N(S)                | R block "other error"
//	R block naming the next N(S)       | next I block of the chain
//	R block naming the last N(S)       | last block again
//	S(RESYNCH request)                 | S(RESYNCH response), as after reset
//	S(IFS request)                     | S(IFS response), blocks up to that size from now on
//	S(ABORT request)                   | S(ABORT response), chain forgotten
//	S response that was asked for      | goes on with what waited for it
//	any other S block                  | R block "other error"

// PCB values (ISO 7816-3, 11.3.2.2).
const (
	pcbMore  = 0x20 // I block: M, more data
	pcbNS    = 0x40 // I block: N(S)
	pcbIMask = 0x1F // I block: bits that must be zero

	pcbR      = 0x80
	pcbNR     = 0x10 // R block: N(R)
	pcbRMask  = 0x2C // R block: bits that must be zero
	rEDC      = 1
	rOther    = 2
	pcbS      = 0xC0
	sResponse = 0x20
	sResynch  = 0
	sIFS      = 1
	sAbort    = 2
	sWTX      = 3
)

// Sizes of a block (ISO 7816-3, 11.3 and 11.4.2).
const (
	prologue   = 3
	defaultIFS = 32
	maxIFS     = 254
)

// T1Options describe a card's manners at T=1.
type T1Options struct {
	// IFSRequest, when not zero, is the IFSC that the card announces by S(IFS request) before its first answer.
	IFSRequest byte
	// WTX is how often the card asks for more time before each answer, working or not, WTXMultiplier the number it asks
	// with (0: 1).
	WTX           int
	WTXMultiplier byte
	// Step is how long the card works before it asks for more time; 0 stands for DefaultStep.
	Step time.Duration
	// Block, when not zero, is the largest information field that the card sends, whatever the reader takes.
	Block int
	// AbortChain makes the card answer the n-th block of a command chain with S(ABORT request), once.
	AbortChain int
	// Respond overrides the answer to a block when not nil: hostile or damaged blocks. It gets the block and the answer
	// that would be sent and returns what is sent; nil for nothing.
	Respond func(block, answer []byte) []byte
}

// DefaultStep is below the block waiting time for BWI = 4: 11 etu + 2^4 x 960 x 372 / 3.57 MHz is 1.6 s (ISO 7816-3, 11.4.3).
const DefaultStep = time.Second

type t1 struct {
	chip *Chip

	nad    byte // to answer with
	ns, nr byte // next N(S) to send, next N(S) expected: 0 or 1
	ifsc   int  // announced by the ATR or S(IFS request)
	ifsd   int

	cmd    []byte // command being received
	blocks int    // of it so far
	resp   []byte // response being sent
	sent   int    // acknowledged bytes of it
	part   int    // length of the block under way, -1 when none is
	toWork time.Duration
	wtx    int  // S(WTX request)s still to send before the answer
	asked  byte // PCB of the S request that waits for its response, 0 when none does
	askINF byte
	ifsDue bool

	aborted bool
	last    []byte // last block sent
	edit    []byte
}

func (t *t1) options() *T1Options { return &t.chip.o.T1 }

func (t *t1) reset() {
	t.resynch()
	t.ifsc = int(t.chip.par.IFSC)
	if t.ifsc == 0 || t.ifsc > maxIFS {
		t.ifsc = defaultIFS
	}
	t.ifsDue = t.options().IFSRequest != 0
	t.aborted = false
	t.last, t.nad = t.last[:0], 0
}

// resynch is what S(RESYNCH) does: everything as after a reset, IFSC aside (ISO 7816-3, 11.6.3.2, rule 6.4).
func (t *t1) resynch() {
	t.ns, t.nr, t.ifsd = 0, 0, defaultIFS
	t.dropChains()
}

func (t *t1) dropChains() {
	t.cmd, t.blocks = t.cmd[:0], 0
	t.resp, t.sent, t.part = t.resp[:0], 0, -1
	t.toWork, t.wtx, t.asked = 0, 0, 0
}

// send takes one block. A card ends reception by the character waiting time, so what comes at once is one block.
func (t *t1) send(block []byte) []Burst {
	after, ok := t.receive(block)
	answer := t.last
	if f := t.options().Respond; f != nil {
		t.edit = append(t.edit[:0], t.last...)
		answer = f(block, t.edit)
		ok = ok && answer != nil
	}
	if !ok {
		return nil
	}
	return t.chip.say(answer, after)
}

func (t *t1) receive(b []byte) (after time.Duration, ok bool) {
	edc := EDCSize(t.chip.par.CRC)
	if len(b) < prologue+edc {
		return t.reject(rOther)
	}
	n := int(b[2])
	if len(b) != prologue+n+edc || n > maxIFS {
		return t.reject(rOther)
	}
	if !CheckEDC(b, t.chip.par.CRC) {
		return t.reject(rEDC)
	}
	if b[0]&0x88 != 0 { // VPP bits (ISO 7816-3, 11.3.2.1)
		return t.reject(rOther)
	}
	t.nad = b[0]<<4 | b[0]>>4 // source and destination change places
	pcb, inf := b[1], b[prologue:prologue+n]
	switch {
	case pcb&0x80 == 0:
		return t.iBlock(pcb, inf)
	case pcb&0xC0 == pcbR:
		return t.rBlock(pcb, inf)
	default:
		return t.sBlock(pcb, inf)
	}
}

func (t *t1) iBlock(pcb byte, inf []byte) (time.Duration, bool) {
	chaining := t.part >= 0 && t.sent+t.part < len(t.resp)
	if pcb&pcbIMask != 0 || len(inf) > t.ifsc || t.asked != 0 || chaining || pcb&pcbNS>>6 != t.nr {
		return t.reject(rOther)
	}
	t.nr ^= 1
	if t.part >= 0 { // the I block acknowledges our last one
		t.ns ^= 1
		t.part = -1
	}
	t.blocks++
	if pcb&pcbMore != 0 && !t.aborted && t.options().AbortChain == t.blocks {
		t.aborted = true
		t.cmd, t.blocks = t.cmd[:0], 0
		return t.request(sAbort, 0, false)
	}
	if len(t.cmd)+len(inf) > maxEnvelope {
		t.cmd, t.blocks = t.cmd[:0], 0
		return t.request(sAbort, 0, false)
	}
	t.cmd = append(t.cmd, inf...)
	if pcb&pcbMore != 0 {
		return t.emit(pcbR|t.nr<<4, nil, 0)
	}
	t.resp, t.toWork = t.chip.os.apdu(t.cmd, t.resp[:0])
	t.sent = 0
	t.cmd, t.blocks = t.cmd[:0], 0
	t.wtx = t.options().WTX
	return t.answer()
}

// answer sends what is due: an S request that must come first, or the next I block.
func (t *t1) answer() (time.Duration, bool) {
	step := t.options().Step
	if step <= 0 {
		step = DefaultStep
	}
	switch {
	case t.ifsDue:
		t.ifsDue = false
		return t.request(sIFS, t.options().IFSRequest, true)
	case t.toWork > step || t.wtx > 0:
		spent := min(t.toWork, step)
		t.toWork -= spent
		t.wtx = max(t.wtx-1, 0)
		multiplier := max(t.options().WTXMultiplier, 1)
		_, ok := t.request(sWTX, multiplier, true)
		return spent, ok
	}
	size := t.ifsd
	if most := t.options().Block; most > 0 {
		size = min(size, most)
	}
	t.part = min(len(t.resp)-t.sent, size)
	pcb := t.ns << 6
	if t.sent+t.part < len(t.resp) {
		pcb |= pcbMore
	}
	after := t.toWork
	t.toWork = 0
	return t.emit(pcb, t.resp[t.sent:t.sent+t.part], after)
}

func (t *t1) rBlock(pcb byte, inf []byte) (time.Duration, bool) {
	if pcb&pcbRMask != 0 || len(inf) != 0 {
		return t.reject(rOther)
	}
	wanted := pcb & pcbNR >> 4
	chaining := t.part >= 0 && t.sent+t.part < len(t.resp)
	if chaining && t.asked == 0 && wanted != t.ns {
		t.sent += t.part
		t.part = -1
		t.ns ^= 1
		return t.answer()
	}
	// Rules 7.1 and 7.2: the last block again, of whatever kind it was.
	if len(t.last) == 0 {
		return t.reject(rOther)
	}
	return 0, true
}

func (t *t1) sBlock(pcb byte, inf []byte) (time.Duration, bool) {
	kind, response := pcb&0x1F, pcb&sResponse != 0
	if response {
		return t.sAnswered(pcb, kind, inf)
	}
	switch {
	case kind == sResynch && len(inf) == 0:
		t.resynch()
	case kind == sIFS && len(inf) == 1 && inf[0] >= 1 && inf[0] <= maxIFS:
		t.ifsd = int(inf[0])
	case kind == sAbort && len(inf) == 0:
		if t.part >= 0 { // the block under way was received
			t.ns ^= 1
		}
		t.dropChains()
	default:
		return t.reject(rOther)
	}
	return t.emit(pcb|sResponse, inf, 0)
}

func (t *t1) sAnswered(pcb, kind byte, inf []byte) (time.Duration, bool) {
	hasINF := kind == sIFS || kind == sWTX
	if t.asked == 0 || pcb != t.asked|sResponse || hasINF != (len(inf) == 1) || hasINF && inf[0] != t.askINF {
		return t.reject(rOther)
	}
	t.asked = 0
	switch kind {
	case sIFS:
		t.ifsc = int(t.askINF)
	case sAbort:
		return t.emit(pcbR|t.nr<<4, nil, 0) // gives the turn back (ISO 7816-3, 11.6.2.4)
	}
	return t.answer()
}

func (t *t1) request(kind, inf byte, hasINF bool) (time.Duration, bool) {
	t.asked, t.askINF = pcbS|kind, inf
	if hasINF {
		return t.emit(t.asked, []byte{inf}, 0)
	}
	return t.emit(t.asked, nil, 0)
}

func (t *t1) reject(reason byte) (time.Duration, bool) {
	return t.emit(pcbR|t.nr<<4|reason, nil, 0)
}

func (t *t1) emit(pcb byte, inf []byte, after time.Duration) (time.Duration, bool) {
	t.last = append(t.last[:0], t.nad, pcb, byte(len(inf)))
	t.last = append(t.last, inf...)
	t.last = AppendEDC(t.last, t.chip.par.CRC)
	return after, true
}
