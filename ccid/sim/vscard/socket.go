//go:build !tamago

package vscard

import (
	"context"
	"errors"
	"net"
	"time"

	"tamaccid/ccid/sim/card"
)

// Serve puts c into the reader at the other end of conn until the connection or ctx ends: a Slot for one card.
func Serve(ctx context.Context, conn net.Conn, c card.Card) error {
	return NewSlot(c).Serve(ctx, conn)
}

// Listen serves whoever connects, one at a time, until ctx ends: for QEMU's "-chardev socket" without server=on. A connection that
// breaks the protocol is closed and the next one waited for.
func (s *Slot) Listen(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if err := s.Serve(ctx, conn); errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// redial is how long Dial waits between attempts: QEMU makes its socket some time after it starts. policy
const redial = 50 * time.Millisecond

// Dial connects to QEMU, which listens (server=on), serves it, and connects again when it goes, until ctx ends. The socket
// need not exist yet.
func (s *Slot) Dial(ctx context.Context, network, address string) error {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, network, address)
		if err == nil {
			err = s.Serve(ctx, conn)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrFrame) {
			return err // another server than QEMU's passthru card
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(redial):
		}
	}
}
