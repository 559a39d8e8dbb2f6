package card

// Hit is a transmission fault between a card and its reader.
type Hit uint8

// The transmission faults.
const (
	Clean   Hit = iota // none
	Lost               // no character arrives
	Cut                // the last character does not arrive
	Flipped            // one bit of the last character is inverted
	Parity             // a character has wrong parity, also when it is repeated
	Doubled            // the last character arrives twice
)

// Noise is a Card with a bad contact.
type Noise struct {
	Card
	// ToCard and FromCard return the fault of the n-th transmission in either direction since the
	// last reset, from 0. nil means no faults.
	ToCard, FromCard func(n int) Hit

	up, down int
	in       []byte
	out      []Burst
}

// Reset implements Card.
func (n *Noise) Reset(cold bool, v Voltage) []byte {
	n.up, n.down = 0, 0
	return n.Card.Reset(cold, v)
}

// Send implements Card.
func (n *Noise) Send(rate byte, in []byte) []Burst {
	if n.ToCard != nil && len(in) > 0 {
		hit := n.ToCard(n.up)
		n.up++
		n.in = hit.apply(append(n.in[:0], in...))
		if in = n.in; hit == Lost || hit == Parity {
			return nil // a card that requests the character again without success stays silent
		}
	}
	bursts := n.Card.Send(rate, in)
	if n.FromCard == nil || len(bursts) == 0 {
		return bursts
	}
	hit := n.FromCard(n.down)
	n.down++
	if hit == Clean {
		return bursts
	}
	if hit == Lost {
		return nil
	}
	n.out = append(n.out[:0], bursts...)
	last := &n.out[len(n.out)-1]
	last.Bytes = hit.apply(append([]byte(nil), last.Bytes...))
	last.Parity = last.Parity || hit == Parity
	return n.out
}

// apply applies the fault to the bytes of b.
func (h Hit) apply(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	switch last := len(b) - 1; h {
	case Cut:
		return b[:last]
	case Flipped:
		b[last] ^= 0x10
	case Doubled:
		return append(b, b[last])
	}
	return b
}
