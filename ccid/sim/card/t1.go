package card

import "time"

// The card's side of T=1 (ISO 7816-3, 11).
//
//	event                              | action
//	invalid block (EDC, length, PCB)   | R block with the reason; also after R blocks and S requests
//	I block, N(S) as expected, M = 1   | append the part, R block with the next N(S)
//	I block, N(S) as expected, M = 0   | execute the command, with S(WTX); then I blocks
//	I block, other N(S)                | R block "other error"
//	R block with the next N(S)         | next I block of the chain
//	R block with the last N(S)         | last block again
//	S(RESYNCH request)                 | S(RESYNCH response), state as after reset
//	S(IFS request)                     | S(IFS response), new maximum size of blocks
//	S(ABORT request)                   | S(ABORT response), chain dropped
//	S response to the open request     | continue after the request
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

// T1Options describe a card's behaviour at T=1.
type T1Options struct {
	// IFSRequest, if not zero, is the IFSC of an S(IFS request) before the first answer.
	IFSRequest byte
	// WTX is the number of S(WTX request)s before each answer, beside those that the processing
	// time requires. WTXMultiplier is their INF; 0 means 1.
	WTX           int
	WTXMultiplier byte
	// Step is the processing time between two S(WTX request)s. 0 means DefaultStep.
	Step time.Duration
	// Block, if not zero, is the greatest length of an information field that the card sends.
	Block int
	// AbortChain, if not zero, makes the card answer the n-th block of a command chain with
	// S(ABORT request), once.
	AbortChain int
	// Respond, if set, replaces the answer to a block, for hostile or damaged blocks. Its arguments
	// are the block and the normal answer. A nil result means no answer.
	Respond func(block, answer []byte) []byte
}

// DefaultStep is less than the block waiting time for BWI = 4: 11 etu + 2^4 x 960 x 372 / 3.57 MHz
// is 1.6 s (ISO 7816-3, 11.4.3).
const DefaultStep = time.Second

type t1 struct {
	chip *Chip

	nad    byte // of the answer
	ns, nr byte // next N(S) to send, next N(S) expected: 0 or 1
	ifsc   int  // announced by the ATR or S(IFS request)
	ifsd   int

	cmd     []byte // the received part of a command
	blocks  int    // its number of blocks
	resp    []byte // the response
	sent    int    // its acknowledged bytes
	part    int    // length of the block that is not acknowledged, -1 if there is none
	toWork  time.Duration
	wtx     int  // number of S(WTX request)s to send before the answer
	open    byte // PCB of the S request without a response yet, 0 if there is none
	openINF byte
	ifsDue  bool // S(IFS request) is to send

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

// resynch restores the state after a reset, but for IFSC (ISO 7816-3, 11.6.3.2, rule 6.4).
func (t *t1) resynch() {
	t.ns, t.nr, t.ifsd = 0, 0, defaultIFS
	t.dropChains()
}

// dropChains drops the command, the response and open requests.
func (t *t1) dropChains() {
	t.cmd, t.blocks = t.cmd[:0], 0
	t.resp, t.sent, t.part = t.resp[:0], 0, -1
	t.toWork, t.wtx, t.open = 0, 0, 0
}

// send receives one block. A card ends a block by the character waiting time: the bytes of one call
// are one block.
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
	return t.chip.reply(answer, after)
}

// receive processes one block. The answer is in t.last.
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
	t.nad = b[0]<<4 | b[0]>>4 // exchange source and destination
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

// iBlock processes an I block.
func (t *t1) iBlock(pcb byte, inf []byte) (time.Duration, bool) {
	chaining := t.part >= 0 && t.sent+t.part < len(t.resp)
	if pcb&pcbIMask != 0 || len(inf) > t.ifsc || t.open != 0 || chaining || pcb&pcbNS>>6 != t.nr {
		return t.reject(rOther)
	}
	t.nr ^= 1
	if t.part >= 0 { // the I block acknowledges the last block of the response
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

// answer sends a due S request, or the next I block.
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

// rBlock processes an R block.
func (t *t1) rBlock(pcb byte, inf []byte) (time.Duration, bool) {
	if pcb&pcbRMask != 0 || len(inf) != 0 {
		return t.reject(rOther)
	}
	wanted := pcb & pcbNR >> 4
	chaining := t.part >= 0 && t.sent+t.part < len(t.resp)
	if chaining && t.open == 0 && wanted != t.ns {
		t.sent += t.part
		t.part = -1
		t.ns ^= 1
		return t.answer()
	}
	// Rules 7.1 and 7.2: repeat the last block, of each kind.
	if len(t.last) == 0 {
		return t.reject(rOther)
	}
	return 0, true
}

// sBlock processes an S block.
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
		if t.part >= 0 { // the last block was received
			t.ns ^= 1
		}
		t.dropChains()
	default:
		return t.reject(rOther)
	}
	return t.emit(pcb|sResponse, inf, 0)
}

// sAnswered processes an S response.
func (t *t1) sAnswered(pcb, kind byte, inf []byte) (time.Duration, bool) {
	hasINF := kind == sIFS || kind == sWTX
	if t.open == 0 || pcb != t.open|sResponse || hasINF != (len(inf) == 1) || hasINF &&
		inf[0] != t.openINF {
		return t.reject(rOther)
	}
	t.open = 0
	switch kind {
	case sIFS:
		t.ifsc = int(t.openINF)
	case sAbort:
		return t.emit(pcbR|t.nr<<4, nil, 0) // returns the right to send (ISO 7816-3, 11.6.2.4)
	}
	return t.answer()
}

// request sends an S request.
func (t *t1) request(kind, inf byte, hasINF bool) (time.Duration, bool) {
	t.open, t.openINF = pcbS|kind, inf
	if hasINF {
		return t.emit(t.open, []byte{inf}, 0)
	}
	return t.emit(t.open, nil, 0)
}

// reject sends an R block with an error.
func (t *t1) reject(reason byte) (time.Duration, bool) {
	return t.emit(pcbR|t.nr<<4|reason, nil, 0)
}

// emit makes a block the last one.
func (t *t1) emit(pcb byte, inf []byte, after time.Duration) (time.Duration, bool) {
	t.last = append(t.last[:0], t.nad, pcb, byte(len(inf)))
	t.last = append(t.last, inf...)
	t.last = AppendEDC(t.last, t.chip.par.CRC)
	return after, true
}
