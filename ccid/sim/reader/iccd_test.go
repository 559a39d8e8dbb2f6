package reader

import (
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
)

func named(t *testing.T, name string) Model {
	t.Helper()
	m, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestICCDVersionA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, named(t, "iccd-a"), card.T0()).play(`
		c A1 62 0000 0000 2100
		= 3B08 74616D6163636964
		# data out: header, status "data phase", data, status "SW ready", status bytes
		c 21 65 0000 0000 0500 00A4040006
		=
		c A1 A0 0000 0000 0100
		= 10
		c 21 65 0000 0000 0600 A000000018FF
		=
		c A1 A0 0000 0000 0100
		= 20
		c A1 6F 0000 0000 0200
		= 9000
		c A1 A0 0000 0000 0100
		= 00
		# data in, requested in two parts
		c 21 65 0000 0000 0500 8034000303
		=
		c A1 A0 0000 0000 0100
		= 10
		c A1 6F 0000 0000 0200
		= 0001
		c A1 6F 0000 0000 0200
		= 02
		c A1 A0 0000 0000 0100
		= 20
		c A1 6F 0000 0000 0200
		= 9000
		# no data: status bytes at once, and no further data
		c 21 65 0000 0000 0500 8030000000
		=
		c A1 A0 0000 0000 0100
		= 20
		c A1 6F 0000 0000 0200
		= 9000
		c A1 6F 0000 0000 0200
		= !
		# half a header: mute
		c 21 65 0000 0000 0300 803000
		=
		c A1 A0 0000 0000 0100
		= 80
		# power off; then a command is mute
		c 21 63 0000 0000 0000
		=
		c 21 65 0000 0000 0500 8030000000
		=
		c A1 A0 0000 0000 0100
		= 80
		# no request of version B
		c A1 81 0000 0000 0300
		= !`)
	})
}

func TestICCDVersionB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, named(t, "iccd-b-extended"), card.T1()).play(`
		c A1 81 0000 0000 0300
		= 010000
		c 21 65 0000 0000 0500 8030000000
		=
		c A1 6F 0000 0000 0501
		= 40 41 FE
		c 21 62 0100 0000 0000
		=
		c A1 6F 0000 0000 0501
		= 00 3B88 8131FE45 74616D6163636964 97
		c A1 81 0000 0000 0300
		= 000000
		c 21 65 0000 0000 0500 8034000303
		=
		c A1 6F 0000 0000 0501
		= 00 000102 9000
		# a command in parts: level 1, 3, 2 in the high byte of wValue
		c 21 65 0001 0000 0300 803200
		=
		c A1 6F 0000 0000 0501
		= 10
		c 21 65 0003 0000 0200 0002
		=
		c A1 6F 0000 0000 0501
		= 10
		c 21 65 0002 0000 0200 0001
		=
		c A1 6F 0000 0000 0501
		= 00 9000`)
	})
}

func TestICCDVersionBChainsShortAPDUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, named(t, "iccd-b"), card.T1()).play(`
		c 21 62 0100 0000 0000
		=
		c 21 65 0001 0000 0300 803200
		=
		c A1 6F 0000 0000 0501
		= 10
		c 21 65 0002 0000 0300 000100
		=
		c A1 6F 0000 0000 0501
		= 00 9000
		# 256 bytes and the status word exceed messages of 261 bytes with a header
		c 21 65 0000 0000 0500 8034010000
		=
		c A1 6F 0000 0000 0501
		= 01 ` + hexCount(251) + `
		c 21 65 0010 0000 0000
		=
		c A1 6F 0000 0000 0501
		= 02 FBFCFDFEFF 9000`)
	})
}

func TestICCDVersionBPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := card.New(card.Options{ATR: card.ATRT1,
			Applets: []card.Applet{&card.Exchange{Unit: 25 * time.Millisecond}}})
		h := attach(t, named(t, "iccd-b"), c)
		h.play(`
		c 21 62 0100 0000 0000
		=
		c 21 65 0000 0000 0500 8038000100
		=
		c A1 6F 0000 0000 0501
		= 80 0200
		c 21 65 0000 0000 0500 8030000000
		= !`)
		time.Sleep(30 * time.Millisecond)
		h.play(`
		c A1 6F 0000 0000 0501
		= 00 9000`)
	})
}
