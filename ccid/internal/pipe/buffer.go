package pipe

// The memory of one reader does not depend on what its descriptor declares. A slot has buffers from
// its first call on:
//
//	buffer                         between calls    during a call
//	command                        MinMessage       as long as the longest message that is sent
//	answer                         MinMessage       as long as the longest message that comes
//	answer read by another slot    MinMessage       the same; only where the pipe is shared
//
// A message has MaxMessage bytes at most. With 16 slots that is 24 KiB between calls, and 192 KiB
// more for each call under way. The inbound buffers are whole packets.
const (
	// MaxMessage bounds dwMaxCCIDMessageLength: an extended APDU with its header (CCID 1.1, 5.1).
	MaxMessage = HeaderSize + 65544
	// MinMessage is the shortest buffer: a short APDU's answer fits even where the descriptor
	// declares less.
	MinMessage = 512
)

// Begin makes the buffers that a call needs and that do not exist yet.
func (s *Slot) Begin() {
	if s.out == nil {
		s.out = make([]byte, MinMessage)
	}
	if s.in == nil {
		s.in = make([]byte, s.p.kept)
	}
	if s.p.Shared {
		s.routed.begin(s.p.kept)
	}
}

// End clears what the call has left of commands and answers, since both may be secrets, and drops
// buffers that are longer than what is kept.
func (s *Slot) End() {
	clear(s.out)
	clear(s.in)
	s.p.kind.wipe()
	s.routed.end(s.p.kept)
	if len(s.out) > MinMessage {
		s.out = nil
	}
	if len(s.in) > s.p.kept {
		s.in = nil
	}
}

// Wipe clears every buffer in which a command or an answer may lie, while a call may be in progress
// that will never go on. It allocates nothing and takes no lock. Nothing else may be called
// afterwards.
func (s *Slot) Wipe() {
	clear(s.out)
	clear(s.in)
	clear(s.routed.buf)
	s.p.kind.wipe()
}

// Load copies the payload of a command into the slot's buffer, and returns its length.
func (s *Slot) Load(payload []byte) int {
	s.out = grown(s.out, HeaderSize+len(payload))
	return copy(s.out[HeaderSize:], payload)
}

// Payload is the empty slice to which the payload of a command of up to MinMessage - HeaderSize
// bytes can be appended, in place of Load.
func (s *Slot) Payload() []byte { return s.out[HeaderSize:HeaderSize] }

// sizes computes the sizes of the inbound buffers, for packets of bulk IN of that many bytes.
func (p *Pipe) sizes(packet int) {
	p.packet = packet
	p.kept = p.packets(MinMessage)
	p.largest = p.packets(max(MinMessage, HeaderSize+p.MaxPayload))
}

// packets is a size rounded up to whole packets of bulk IN.
func (p *Pipe) packets(size int) int { return (size + p.packet - 1) / p.packet * p.packet }

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
