//go:build linux && !tamago

package ccid_test

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"syscall"
	"testing"
	"testing/synctest"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// beforeTheEnd is a buffer of which the first n bytes can be written, and no other.
func beforeTheEnd(t *testing.T, n int) []byte {
	const page, beyond = 4096, 4096
	b, err := syscall.Mmap(-1, 0, page+beyond, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	if err := syscall.Mprotect(b[page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return b[page-n:]
}

// TestAFaultInTheCallersMemoryCostsOneCall: a caller whose buffer is shorter than its length causes
// a panic in the middle of the answer, and recovers. The card is in step again for the next
// command.
func TestAFaultInTheCallersMemoryCostsOneCall(t *testing.T) {
	const length = 256
	// card.Exchange: that many bytes, which count
	command := []byte{0x80, 0x34, length >> 8, length & 0xFF, length & 0xFF}
	want := make([]byte, 0, length+2)
	for i := range length {
		want = append(want, byte(i))
	}
	want = append(want, 0x90, 0x00)
	for _, k := range pinReaders {
		for _, room := range []int{0, 1, 40, 120, 253, length} {
			t.Run(fmt.Sprintf("%s, %s, after %d bytes", k.kind, k.card, room), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, err := reader.Named(k.kind)
					if err != nil {
						t.Fatal(err)
					}
					chip, err := card.Named(k.card)
					if err != nil {
						t.Fatal(err)
					}
					d := reader.NewDevice(m)
					d.Reader(0).Insert(0,
						card.New(card.Options{ATR: chip.ATR(),
							Applets: []card.Applet{new(card.Exchange)}}))
					tr, err := d.Open(d.Reader(0).Interface())
					if err != nil {
						t.Fatal(err)
					}
					r, err := ccid.Open(t.Context(), tr, ccid.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					s := r.Slots()[0]
					if _, err := s.Connect(t.Context(), ccid.T0|ccid.T1,
						ccid.ColdReset); err != nil {
						t.Fatal(err)
					}
					err = func() (err error) {
						defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
						defer func() { err, _ = recover().(error) }()
						_, _ = s.Transmit(t.Context(), command, beforeTheEnd(t, room))
						return nil
					}()
					if err == nil {
						t.Fatal("no fault")
					}
					for range 2 {
						response := make([]byte, 258)
						n, err := s.Transmit(t.Context(), command, response)
						if err != nil || !bytes.Equal(response[:n], want) {
							t.Errorf("the next command: % X, %v", response[:n], err)
						}
					}
				})
			})
		}
	}
}
