//go:build !tamago

package vscard

import (
	"context"
	"errors"
	"net"
	"time"

	"tamaccid/ccid/sim/card"
)

// Serve serves one connection with a Slot that has card c, until the connection or ctx ends.
func Serve(ctx context.Context, conn net.Conn, c card.Card) error {
	return NewSlot(c).Serve(ctx, conn)
}

// Listen serves the connections to l, one at a time, until ctx ends. It is for QEMU's "-chardev
// socket" without server=on. It closes a connection that violates the protocol.
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

// redial is the time between two attempts of Dial: QEMU creates its socket after its start
// (policy).
const redial = 50 * time.Millisecond

// Dial connects to QEMU, which listens (server=on), and serves the connection. It connects again
// after the connection has ended, until ctx ends. The socket may be created later. The error is
// ErrFrame if the peer violates the protocol.
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
			return err // the peer is not ccid-card-passthru
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(redial):
		}
	}
}
