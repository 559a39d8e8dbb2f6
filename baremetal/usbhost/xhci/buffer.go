package xhci

// Sizes of transfers; policy. Data are copied through pieces of memory that the controller can reach, a page each: a board finds
// pages long after it has no 64 KiB in one piece any more, and no page crosses a 64 KiB boundary (xHCI 1.2, table 6-1).
const (
	pieceSize   = 4096
	maxTransfer = 64 << 10
)

// grow sees to it that n bytes have room. Pieces are never fewer again until the endpoint goes.
func (e *endpoint) grow(n int) error {
	for len(e.pieces)*pieceSize < n {
		b, err := e.d.c.alloc(pieceSize, pieceSize)
		if err != nil {
			return err
		}
		e.pieces = append(e.pieces, b)
	}
	return nil
}

// copyOut and copyIn move data between a caller's buffer and the pieces.
func (e *endpoint) copyOut(b []byte) {
	for i := 0; len(b) > 0; i++ {
		b = b[copy(e.pieces[i].Bytes, b):]
	}
}

func (e *endpoint) copyIn(b []byte) {
	for i := 0; len(b) > 0; i++ {
		b = b[copy(b, e.pieces[i].Bytes):]
	}
}

// wipe clears the first n bytes of the pieces: there may have been a PIN in them.
func (e *endpoint) wipe(n int) {
	for i := 0; n > 0; i++ {
		p := e.pieces[i].Bytes
		p = p[:min(n, len(p))]
		clear(p)
		n -= len(p)
	}
}
