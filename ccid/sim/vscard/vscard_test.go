//go:build !tamago

package vscard

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
)

// A peer is QEMU's side of a connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	done chan error
}

func dial(t *testing.T, s *Slot) *peer {
	t.Helper()
	a, b := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{t: t, conn: b, done: make(chan error, 1)}
	go func() { p.done <- s.Serve(ctx, a) }()
	t.Cleanup(func() { cancel(); b.Close() })
	b.SetDeadline(time.Now().Add(5 * time.Second))
	return p
}

func (p *peer) write(text string) {
	p.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err == nil {
		_, err = p.conn.Write(b)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) expect(text string) {
	p.t.Helper()
	want, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		p.t.Fatal(err)
	}
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.conn, got)
	if err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("card side sent % X (%v), expected % X", got[:n], err, want)
	}
}

const (
	greeting = "00000001 00000000 0000000C 56534344 00000002 00000000 " + // Init
		"00000003 FFFFFFFF 00000009 74616D6163636964 00" // ReaderAdd
	initQEMU = "00000001 FFFFFFFF 0000000C 56534344 00000002 00000000"
	success  = "00000002 00000000 00000004 00000000"
	atrT0    = "00000005 00000000 0000000A 3B08 74616D6163636964"
	removed  = "00000006 00000000 00000000"
)

func start(t *testing.T, s *Slot) *peer {
	p := dial(t, s)
	p.expect(greeting)
	p.write(initQEMU)
	p.write(success)
	return p
}

func TestExchangeWithQEMU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, NewSlot(card.T0()))
		p.expect(atrT0)
		p.write(success)
		// SELECT of the hello applet, the text by GET RESPONSE: raw T=0 TPDUs.
		p.write("00000007 00000000 0000000F 00A404000A A000000062 03010C0601")
		p.expect("00000007 00000000 00000002 9000")
		p.write("00000007 00000000 00000004 00000000")
		p.expect("00000007 00000000 00000002 610C")
		p.write("00000007 00000000 00000005 00C000000C")
		p.expect("00000007 00000000 0000000E 48656C6C6F20776F726C6421 9000")
		// A TPDU with inconsistent lengths.
		p.write("00000007 00000000 00000006 80320000 05 00")
		p.expect("00000007 00000000 00000002 6700")
		p.write("00000008 00000000 00000000") // Flush
		p.expect("00000009 00000000 00000000")
		p.conn.Close()
		if err := <-p.done; err != nil {
			t.Errorf("Serve after QEMU has closed the connection: %v", err)
		}
	})
}

func TestCardIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlot(nil)
		p := start(t, s)
		// Without a card there is no ATR. The next message is the error for an APDU that QEMU
		// should not have sent.
		p.write("00000007 00000000 00000005 80300000 00")
		p.expect("00000002 00000000 00000004 00000001")
		do := func(f func() error) {
			t.Helper()
			go func() {
				if err := f(); err != nil {
					t.Error(err)
				}
			}()
		}
		do(func() error { return s.Insert(card.T0()) })
		p.expect(atrT0)
		p.write(success)
		do(func() error { return s.Insert(card.T1()) })
		p.expect(removed)
		p.expect("00000005 00000000 0000000F 3B88 8131FE45 74616D6163636964 97")
		// A T=1 card receives blocks.
		p.write("00000007 00000000 00000005 00C101FE3E")
		p.expect("00000007 00000000 00000005 00E101FE1E")
		do(s.Remove)
		p.expect(removed)
	})
}

func TestCardAnswersAgainAfterReconnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlot(card.T0())
		for range 2 {
			p := start(t, s)
			p.expect(atrT0)
			p.conn.Close()
			if err := <-p.done; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestRemovalDuringACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlot(card.T0())
		p := start(t, s)
		p.expect(atrT0)
		p.write("00000007 00000000 00000005 80380003 00") // 300 ms
		synctest.Wait()
		s.mu.Lock()
		working := s.line.Spent > 0
		s.mu.Unlock()
		if !working {
			t.Fatal("the command has not started")
		}
		go s.Remove()
		p.expect(removed) // and no answer before or after it:
		go s.Insert(card.T0())
		p.expect(atrT0)
	})
}

// CVE-2016-0749 (SPICE) is an overflow by unchecked lengths of the peer.
func TestHostilePeersAreDropped(t *testing.T) {
	for _, tt := range []struct{ name, sends string }{
		{"a length of 4 GB", "00000007 00000000 FFFFFFFF"},
		{"a length one over the limit", "00000007 00000000 00010009"},
		{"an unknown type", "000000FF 00000000 00000000"},
		{"an init of another protocol", "00000001 00000000 0000000C 48545450 00000002 00000000"},
		{"an init without a body", "00000001 00000000 00000000"},
		{"an error without a code", "00000002 00000000 00000001 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dial(t, NewSlot(card.T0()))
				p.expect(greeting)
				p.write(tt.sends)
				if err := <-p.done; !errors.Is(err, ErrFrame) {
					t.Errorf("Serve ended with %v", err)
				}
			})
		})
	}
	t.Run("a message cut short", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := dial(t, NewSlot(card.T0()))
			p.expect(greeting)
			p.write("00000007 00000000 00000010 0000")
			p.conn.Close()
			if err := <-p.done; !errors.Is(err, ErrFrame) {
				t.Errorf("Serve ended with %v", err)
			}
		})
	})
	t.Run("an end of the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			a, b := net.Pipe()
			done := make(chan error, 1)
			go func() { done <- Serve(ctx, a, card.T0()) }()
			io.ReadFull(b, make([]byte, 8))
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Serve ended with %v", err)
			}
		})
	})
}

func TestAPDULevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlot(card.T0())
		s.Level = APDU
		p := start(t, s)
		p.expect(atrT0)
		p.write("00000007 00000000 00000007 80000442 000004")
		p.expect("00000007 00000000 00000006 42424242 9000")
	})
}
