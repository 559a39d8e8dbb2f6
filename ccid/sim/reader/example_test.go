//go:build !tamago

package reader_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// A host exchanges messages with a virtual reader. Here it powers the card. The second answer has a
// wrong bSeq, by a fault.
func ExampleDevice_Inject() {
	ctx := context.Background()
	device := reader.NewDevice(reader.New(reader.TPDU))
	device.Reader(0).Insert(0, card.T0())
	device.Inject(reader.Fault{
		At: reader.AtAnswer, Command: reader.IccPowerOn, // each answer to PC_to_RDR_IccPowerOn,
		Skip: 1, Times: 1, // but the first, once,
		Do: []reader.Action{reader.WrongSeq(7)}, // has another bSeq
	})

	transport, err := device.Open(device.Reader(0).Interface())
	if err != nil {
		log.Fatal(err)
	}
	defer transport.Close()
	const out, in = 0x01, 0x81 // bulk endpoints
	for seq := byte(1); seq <= 3; seq++ {
		powerOn := []byte{reader.IccPowerOn, 0, 0, 0, 0, 0, seq, 0, 0, 0}
		if _, err := transport.Out(ctx, out, powerOn, time.Second); err != nil {
			log.Fatal(err)
		}
		answer := make([]byte, 64)
		n, err := transport.In(ctx, in, answer, time.Second)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("bSeq %d, answer with bSeq %d: ATR % X\n", seq, answer[6], answer[10:n])
	}
	fmt.Println("faults that did not occur:", device.Pending())
	// Output:
	// bSeq 1, answer with bSeq 1: ATR 3B 08 74 61 6D 61 63 63 69 64
	// bSeq 2, answer with bSeq 9: ATR 3B 08 74 61 6D 61 63 63 69 64
	// bSeq 3, answer with bSeq 3: ATR 3B 08 74 61 6D 61 63 63 69 64
	// faults that did not occur: 0
}
