//go:build !tamago

package card_test

import (
	"fmt"
	"log"
	"time"

	"tamaccid/ccid/sim/card"
)

// A card answers a reset, and characters on its I/O line. This card has T=0: the ACK 40 requests
// the data of the command.
func Example() {
	c, err := card.Named("t0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("ATR  % X\n", c.Reset(true, card.ClassA))
	header := []byte{0x00, 0xA4, 0x04, 0x00, byte(len(card.HelloAID))}
	for _, characters := range [][]byte{header, card.HelloAID, {0x00, 0x00, 0x00, 0x00, 0x0C}} {
		for _, burst := range c.Send(card.DefaultRate, characters) {
			fmt.Printf("card % X\n", burst.Bytes)
		}
	}
	// Output:
	// ATR  3B 08 74 61 6D 61 63 63 69 64
	// card A4
	// card 90 00
	// card 00 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 90 00
}

// An applet of its own makes a card for a test.
func ExampleNew() {
	c := card.New(card.Options{ATR: card.ATRT1, Applets: []card.Applet{counter{new(int)}}})
	c.Reset(true, card.ClassA)
	for range 2 {
		answer, work := c.Exchange([]byte{0x80, 0x01, 0x00, 0x00, 0x01})
		fmt.Printf("% X after %v\n", answer, work)
	}
	// Output:
	// 01 90 00 after 20ms
	// 02 90 00 after 20ms
}

// counter is an applet whose command 80 01 counts.
type counter struct{ n *int }

func (counter) AID() []byte                        { return []byte{0xF0, 0x01} }
func (counter) Takes(_, ins byte) (takes, ok bool) { return false, ins == 0x01 }

func (c counter) Process(_ *card.Command, out []byte) ([]byte, uint16, time.Duration) {
	*c.n++
	return append(out, byte(*c.n)), 0x9000, 20 * time.Millisecond
}
