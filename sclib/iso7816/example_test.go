//go:build !tamago

package iso7816_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"tamaccid/sclib/iso7816"
)

// A command without Extended has short length fields if they hold the lengths.
func ExampleCommand_Bytes() {
	command, err := iso7816.Select([]byte{0xA0, 0x00, 0x00, 0x00, 0x62}).Bytes()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% X\n", command)
	long, err := iso7816.Command{INS: 0xB0, Ne: iso7816.MaxNe}.Bytes()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% X\n", long)
	// Output:
	// 00 A4 04 00 05 A0 00 00 00 62
	// 00 B0 00 00 00 00 00
}

// Exchange returns a status word other than 90 00 as an error.
func ExampleExchange() {
	card := &fixed{answer: []byte{0x63, 0xC2}} // in a program, a *sclib.Card
	verify := iso7816.Command{INS: 0x20, P2: 0x80, Data: []byte("1234")}
	_, err := iso7816.Exchange(context.Background(), card, verify)
	var sw iso7816.StatusWord
	if errors.As(err, &sw) {
		tries, _ := sw.TriesLeft()
		fmt.Println(err)
		fmt.Println("tries left:", tries)
	}
	// Output:
	// status 63 C2: verification failed, 2 tries left
	// tries left: 2
}
