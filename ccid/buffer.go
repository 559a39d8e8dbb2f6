package ccid

// What one reader takes of memory does not follow from what its descriptor declares. A slot has
// buffers from its first call on:
//
//	buffer                         between calls    during a call
//	command                        minMessage       as long as the longest message that is sent
//	answer                         minMessage       as long as the longest message that comes
//	answer read by another slot    minMessage       the same; only where the reader works on several slots at once
//
// A message has maxMessage bytes at most, and less where dwMaxCCIDMessageLength is less
// (Reader.largest). With maxSlots slots that is 24 KiB between calls, and 192 KiB more for each
// call under way. The inbound buffers are whole packets.
const (
	// maxSlots bounds the slots of one reader that are used (policy: no reader in
	// testdata/readers.txt has more than 8; CCID 1.1, table 5.1-1 allows 256).
	maxSlots = 16
	// maxMessage bounds what is believed of dwMaxCCIDMessageLength: an extended APDU with its
	// header (CCID 1.1, 5.1).
	maxMessage = headerSize + 65544
	// minMessage is the shortest buffer: a short APDU's answer fits even where the descriptor says
	// otherwise.
	minMessage = 512
)

// packets is a size rounded up to whole packets of bulk IN.
func (r *Reader) packets(size int) int {
	if packet := int(r.iface.BulkIn.MaxPacketSize); packet > 0 {
		return (size + packet - 1) / packet * packet
	}
	return size
}

// largest is the size of the longest message that is taken from the reader, in whole packets.
func (r *Reader) largest() int { return r.packets(max(minMessage, headerSize+r.maxPayload)) }

// takeBuffers makes the buffers that a slot keeps.
func (s *Slot) takeBuffers() {
	s.keptOut = make([]byte, minMessage)
	s.keptIn = make([]byte, s.r.packets(minMessage))
	s.out, s.in = s.keptOut, s.keptIn
	if cap(s.r.busy) > 1 {
		s.box.kept = make([]byte, len(s.keptIn))
		s.box.buf = s.box.kept
		s.box.ready = make(chan struct{}, 1)
	}
}

// releaseBuffers drops what the call has added to them.
func (s *Slot) releaseBuffers() {
	s.out, s.in = s.keptOut, s.keptIn
	s.box.shrink()
}

// grown is b with room for n bytes: b itself, or a longer buffer with its content. Then b is
// cleared, since it may hold secrets.
func grown(b []byte, n int) []byte {
	if n <= len(b) {
		return b
	}
	longer := make([]byte, n)
	copy(longer, b)
	clear(b)
	return longer
}

// load puts the payload of a command into the out buffer, and returns its length.
func (s *Slot) load(payload []byte) int {
	s.out = grown(s.out, headerSize+len(payload))
	return copy(s.out[headerSize:], payload)
}

// wipe clears what the call has left of commands and answers: both may be secrets.
func (s *Slot) wipe() {
	clear(s.out)
	clear(s.in)
	if s.t0 != nil {
		s.t0.Wipe()
	}
	if s.t1 != nil {
		s.t1.Wipe()
	}
	s.r.pipe.wipe()
}

// Wipe clears every buffer in which a command or an answer may lie, while a call may be in progress
// that will never go on. It allocates nothing, takes no lock and needs no goroutine: it is for the
// end of a program by a fatal error. Nothing of the reader may be called afterwards.
func (s *Slot) Wipe() {
	s.wipe()
	clear(s.keptOut)
	clear(s.keptIn)
	clear(s.box.buf)
	clear(s.box.kept)
}
