//go:build linux && !tamago

package harness

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A cardServer listens on a unix socket and simulates a card, or a redirected device, on each
// connection that QEMU makes.
type cardServer struct {
	path     string
	listener net.Listener
	card     Card
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	conns  map[*mutableConn]struct{}
	closed bool
	wait   sync.WaitGroup
}

func listenCard(path string, card Card) (*cardServer, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("qemu: card: %w", err)
	}
	s := &cardServer{path: path, listener: listener, card: card,
		conns: make(map[*mutableConn]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wait.Go(s.accept)
	return s, nil
}

func (s *cardServer) accept() {
	for {
		accepted, err := s.listener.Accept()
		if err != nil {
			return
		}
		conn := &mutableConn{Conn: accepted}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.wait.Go(func() { s.serve(conn) })
	}
}

// serve simulates the card. Its error is not reported: its effect appears in the machine.
func (s *cardServer) serve(conn *mutableConn) {
	s.card(s.ctx, conn)
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// idle waits until no connection is left.
func (s *cardServer) idle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, channelTime)
	defer cancel()
	for {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s is plugged in", ErrTimeout, s.path)
		case <-time.After(channelPause):
		}
	}
}

// close ends all connections and waits for the card on each of them to return.
func (s *cardServer) close() {
	s.listener.Close()
	s.cancel()
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// mutableConn is a connection whose output can be muted.
type mutableConn struct {
	net.Conn
	muted atomic.Bool
}

// Write drops the output of a muted card.
func (c *mutableConn) Write(p []byte) (int, error) {
	if c.muted.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// mute drops all further output of the cards that are connected now.
func (s *cardServer) mute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.muted.Store(true)
	}
}
