//go:build !tamago

package native_test

import (
	"context"
	"fmt"
	"log"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
	"tamaccid/sclib/native"
)

// The whole stack in one program: a virtual card in a virtual reader, the class driver, and PC/SC.
func Example() {
	ctx := context.Background()
	device := reader.NewDevice(reader.New(reader.TPDU))
	device.Reader(0).Insert(0, card.T1())
	transport, err := device.Open(device.Reader(0).Interface())
	if err != nil {
		log.Fatal(err)
	}
	r, err := ccid.Open(ctx, transport, ccid.Options{})
	if err != nil {
		log.Fatal(err)
	}
	backend, err := native.New(native.Options{})
	if err != nil {
		log.Fatal(err)
	}
	backend.Add(r)
	sc := sclib.New(backend)
	defer sc.Release()

	readers, err := sc.ListReaders(ctx)
	if err != nil {
		log.Fatal(err)
	}
	c, err := sc.Connect(ctx, readers[0], sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Disconnect(sclib.LeaveCard)
	if _, err := iso7816.Exchange(ctx, c, iso7816.Select(card.HelloAID)); err != nil {
		log.Fatal(err)
	}
	text, err := iso7816.Exchange(ctx, c, iso7816.Command{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", readers[0], text)
	// Output: tamaccid Virtual Reader 0: Hello world!
}
