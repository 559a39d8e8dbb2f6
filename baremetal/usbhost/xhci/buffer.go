package xhci

// Sizes of transfers (policy). Data are copied to and from pieces of DMA memory of one page each:
// single pages are available long after the last contiguous 64 KiB, and no page crosses a 64 KiB
// boundary (xHCI 1.2, table 6-1).
const (
	pieceSize   = 4096
	maxTransfer = 64 << 10
)

// grow allocates pieces for n bytes. They are freed with the endpoint.
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

// copyOut and copyIn copy data between a caller's buffer and the pieces.
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

// wipe clears the first n bytes of the pieces, which may contain a PIN.
func (e *endpoint) wipe(n int) {
	for i := 0; n > 0; i++ {
		p := e.pieces[i].Bytes
		p = p[:min(n, len(p))]
		clear(p)
		n -= len(p)
	}
}
