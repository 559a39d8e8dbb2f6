//go:build !tamago

package ccid_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"tamaccid/ccid"
	"tamaccid/ccid/scard"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// virtual is a virtual reader with a card in it, in place of one on a USB host.
func virtual(name string) *reader.Device {
	d := reader.NewDevice(reader.New(reader.TPDU))
	if name != "" {
		chip, err := card.Named(name)
		if err != nil {
			log.Fatal(err)
		}
		d.Reader(0).Insert(0, chip)
	}
	return d
}

// A reader is opened on the transport of its interface. A card is connected, and exchanges APDUs.
func Example() {
	transport, err := virtual("t1").Open(0)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := ccid.Open(ctx, transport, ccid.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	s := r.Slots()[0]
	protocol, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Name(), "uses", protocol)

	response := make([]byte, 258)
	selectHello := []byte{0x00, 0xA4, 0x04, 0x00, byte(len(card.HelloAID))}
	selectHello = append(selectHello, card.HelloAID...)
	for _, command := range [][]byte{selectHello, {0x00, 0x00, 0x00, 0x00}} {
		n, err := s.Transmit(ctx, command, response)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q, status % X\n", response[:n-2], response[n-2:n])
	}
	if err := s.Disconnect(ctx, ccid.Unpower); err != nil {
		log.Fatal(err)
	}
	// Output:
	// tamaccid Virtual Reader 0 uses T=1
	// "", status 90 00
	// "Hello world!", status 90 00
}

// WaitChange returns when a card was inserted, removed or replaced.
func ExampleSlot_WaitChange() {
	d := virtual("")
	transport, err := d.Open(0)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := ccid.Open(ctx, transport, ccid.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	s := r.Slots()[0]
	state, err := s.State(ctx)
	fmt.Println(state, err)
	changes := s.Changes()
	d.Reader(0).Insert(0, card.T0())
	if _, err := s.WaitChange(ctx, changes); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.LastState())
	// Output:
	// no card <nil>
	// card not powered
}

// Errors wrap sentinels, and the reader's own code.
func ExampleSlotError() {
	transport, err := virtual("mute").Open(0)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := ccid.Open(ctx, transport, ccid.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	_, err = r.Slots()[0].Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset)
	var failure *ccid.SlotError
	if errors.Is(err, ccid.ErrMute) && errors.As(err, &failure) {
		fmt.Printf("bError %02X\n", failure.Code)
	}
	// Output:
	// bError FE
}

// Attributes of reader and card have the numbers of PC/SC.
func ExampleSlot_GetAttrib() {
	transport, err := virtual("t0").Open(0)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	r, err := ccid.Open(ctx, transport, ccid.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	vendor, err := r.Slots()[0].GetAttrib(ctx, scard.AttrVendorName)
	fmt.Printf("%s %v\n", vendor, err)
	// Output:
	// tamaccid <nil>
}
