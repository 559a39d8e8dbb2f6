//go:build !tamago

package sclib_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

// testBackend returns a backend with one reader and one card, for the examples. A program for a
// machine uses board/auto, or the backend of its platform.
func testBackend() (sclib.Backend, *sclibtest.Reader) {
	r := sclibtest.NewReader("Test reader")
	r.Insert(sclibtest.Card{
		ATR:    []byte{0x3B, 0x80, 0x01, 0x81},
		Answer: func(command []byte) []byte { return []byte{'O', 'K', 0x90, 0x00} },
	})
	return sclibtest.NewBackend(r), r
}

// A program lists the readers, connects to a card and exchanges an APDU.
func Example() {
	ctx := context.Background()
	backend, _ := testBackend()
	sc := sclib.New(backend)
	defer sc.Release()

	readers, err := sc.ListReaders(ctx)
	if err != nil {
		log.Fatal(err)
	}
	card, err := sc.Connect(ctx, readers[0], sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		log.Fatal(err)
	}
	defer card.Disconnect(sclib.LeaveCard)
	status, err := card.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %v, %v, ATR % X\n", status.Reader, status.State, status.Protocol, status.ATR)
	answer, err := card.Transmit(ctx, []byte{0x00, 0xB0, 0x00, 0x00, 0x02})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% X\n", answer)
	// Output:
	// Test reader: card present and ready, T=1, ATR 3B 80 01 81
	// 4F 4B 90 00
}

// A program that follows events passes the last state of a reader with each call. The first call
// returns at once.
func ExampleContext_GetStatusChange() {
	ctx := context.Background()
	backend, reader := testBackend()
	sc := sclib.New(backend)
	defer sc.Release()

	states := []sclib.ReaderState{{Reader: "Test reader"}}
	for range 2 {
		if err := sc.GetStatusChange(ctx, states); err != nil {
			log.Fatal(err)
		}
		switch now := states[0].EventState; {
		case now&sclib.StatePresent != 0:
			fmt.Println("a card is present")
		case now&sclib.StateEmpty != 0:
			fmt.Println("the card was removed")
		}
		states[0].CurrentState = states[0].EventState
		reader.Remove()
	}
	// Output:
	// a card is present
	// the card was removed
}

// The commands of a transaction are not interrupted by those of other handles.
func ExampleCard_BeginTransaction() {
	ctx := context.Background()
	backend, _ := testBackend()
	sc := sclib.New(backend)
	defer sc.Release()
	card, err := sc.Connect(ctx, "Test reader", sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		log.Fatal(err)
	}
	defer card.Disconnect(sclib.LeaveCard)

	if err := card.BeginTransaction(ctx); err != nil {
		log.Fatal(err)
	}
	for _, command := range [][]byte{{0x00, 0x20, 0x00, 0x80}, {0x00, 0xCA, 0x00, 0x00}} {
		answer, err := card.Transmit(ctx, command)
		fmt.Printf("% X, %v\n", answer, err)
	}
	if err := card.EndTransaction(ctx, sclib.LeaveCard); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 4F 4B 90 00, <nil>
	// 4F 4B 90 00, <nil>
}

// Errors wrap a PC/SC code.
func ExampleError() {
	backend, reader := testBackend()
	reader.Remove()
	sc := sclib.New(backend)
	defer sc.Release()

	_, err := sc.Connect(context.Background(), "Test reader", sclib.ShareShared, sclib.ProtocolAny)
	if errors.Is(err, sclib.ErrNoCard) {
		fmt.Println(err)
	}
	// Output: connect to "Test reader": no card in the reader
}
