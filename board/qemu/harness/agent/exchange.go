package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// echo is the applet that returns data.
var echo = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x01}

const (
	echoClass       = 0x80
	echoInstruction = 0xEE
)

// lengths are lengths of the data of an exchange: less than a packet, a full packet of a full-speed
// reader that takes whole APDUs (10 + 52 + 2 bytes), more than a packet (policy).
var lengths = []int{1, 52, 200, 255}

var errWrong = errors.New("the returned data is not what was sent")

// serial makes the data of each exchange different.
var serial atomic.Uint32

// exchange sends data to the card in a reader, which returns it.
func exchange(ctx context.Context, sc *sclib.Context, reader string) (err error) {
	card, err := sc.Connect(ctx, reader, sclib.ShareExclusive, sclib.ProtocolAny)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() {
		after := sclib.LeaveCard
		if err != nil {
			after = sclib.UnpowerCard // the state of the card is unknown
		}
		if end := card.Disconnect(after); err == nil && end != nil {
			err = fmt.Errorf("disconnecting: %w", end)
		}
	}()
	if _, err := transmit(ctx, card, iso7816.Select(echo)); err != nil {
		return fmt.Errorf("selecting: %w", err)
	}
	for _, n := range lengths {
		data := make([]byte, n)
		seed := serial.Add(1)
		for i := range data {
			data[i] = byte(seed>>(i%4*8)) + byte(i)
		}
		back, err := transmit(ctx, card,
			iso7816.Command{CLA: echoClass, INS: echoInstruction, Data: data,
				Ne: iso7816.MaxShortNe})
		if err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
		if !bytes.Equal(back, data) {
			return fmt.Errorf("%d bytes: %w: % X", n, errWrong, back)
		}
	}
	return nil
}

func transmit(ctx context.Context, card *sclib.Card, command iso7816.Command) ([]byte, error) {
	sent, err := command.Bytes()
	if err != nil {
		return nil, err
	}
	answer, err := card.Transmit(ctx, sent)
	if err != nil {
		return nil, err
	}
	response, err := iso7816.ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	if response.SW != iso7816.SWSuccess {
		return nil, response.SW
	}
	return response.Data, nil
}
