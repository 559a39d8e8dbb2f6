//go:build !tamago

package usbredir

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// stream is a connection whose peer has sent all its data, and reads all answers.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

// FuzzPeer checks that Serve ends after any data, without goroutines, and that the next peer can be
// served.
func FuzzPeer(f *testing.F) {
	hello := appendPacket(nil, typeHello, 0, false,
		append([]byte("QEMU"), make([]byte, versionSize-4)...), []byte{0xFF, 0, 0, 0})
	packet := func(kind uint32, body string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		return appendPacket(bytes.Clone(hello), kind, 1, true, b)
	}
	f.Add(hello)
	f.Add(packet(typeControl, "80 06 80 00 0001 0000 1200"))
	f.Add(packet(typeBulk, "81 00 0002 00000000 0000"))
	f.Add(packet(typeBulk, "01 00 0A00 00000000 0000 62 00000000 00 01 00 0000"))
	f.Add(packet(typeStartInterrupt, "82"))
	f.Add(packet(typeSetAltSetting, "00 00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		d := reader.NewDevice(reader.New(reader.TPDU))
		d.Reader(0).Insert(0, card.T0())
		s := &Server{Device: d}
		s.Serve(context.Background(), stream{bytes.NewReader(sent)}) // waits for its goroutines
		if s.conn != nil {
			t.Fatal("the server has a connection")
		}
	})
}
