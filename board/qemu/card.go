//go:build linux && !tamago

package qemu

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// A cardServer listens on a unix socket and plays the card on each connection that QEMU makes.
type cardServer struct {
	path     string
	listener net.Listener
	card     Card
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	wait   sync.WaitGroup
}

func listenCard(path string, card Card) (*cardServer, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("qemu: card: %w", err)
	}
	s := &cardServer{path: path, listener: listener, card: card, conns: make(map[net.Conn]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wait.Go(s.accept)
	return s, nil
}

func (s *cardServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
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

// serve plays the card. Its error is not reported: a card that goes wrong is what the machine sees of it.
func (s *cardServer) serve(conn net.Conn) {
	s.card(s.ctx, conn)
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
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
