//go:build !tamago

package vscard

import (
	"bytes"
	"context"
	"io"
	"testing"

	"tamaccid/ccid/sim/card"
)

// stream is a connection whose peer has sent all its data, and reads all answers.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

// FuzzPeer checks that Serve ends after any data, and that the next peer can be served.
func FuzzPeer(f *testing.F) {
	greeting := appendMessage(nil, typeInit, 0, appendWords(nil, magic, version, 0))
	ready := appendMessage(greeting, typeError, 0, appendWords(nil, codeSuccess))
	f.Add(greeting)
	f.Add(appendMessage(ready, typeAPDU, 0, []byte{0x80, 0x34, 0, 3, 3}))
	f.Add(appendMessage(ready, typeAPDU, 0, []byte{0xFF, 0x10, 0x96, 0x79}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		if bytes.Contains(sent, []byte{0x80, 0x38}) || bytes.Contains(sent, []byte{0x80, 0xA0}) {
			return // commands that take time
		}
		s := NewSlot(card.T0())
		s.Serve(context.Background(), stream{bytes.NewReader(sent)})
		if s.conn != nil {
			t.Fatal("the slot has a connection")
		}
	})
}
