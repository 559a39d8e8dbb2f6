package xhci

import "tamaccid/ccid/usb"

// maxTD is the largest number of TRBs of a transfer, with setup and status stage.
const maxTD = maxTransfer/pieceSize + 2

// transfer is the transfer in flight on an endpoint: count TRBs of its ring, starting with first.
type transfer struct {
	pending bool
	control bool
	first   int
	count   int
	end     [maxTD]uint32 // data bytes up to the end of each TRB
	n       int           // bytes transferred
	short   bool          // the data stage was short, with n bytes
	code    code
}

// queueControl puts the stages of a control transfer into the ring, one TD each (xHCI 1.2,
// 4.11.2.2).
func (e *endpoint) queueControl(setup usb.Setup, n int, in bool) {
	e.td = transfer{control: true}
	e.ring.together(2) // Etron fails if a link follows the setup stage (Linux: XHCI_ETRON_HOST)
	e.ring.begin()
	packet := setup.Bytes()
	kind, status := uint32(0), uint32(trbDirIn)
	if n > 0 {
		kind = trbSetupOut
		if in {
			kind, status = trbSetupIn, 0
		}
	}
	e.queue(trb{
		parameter: get64(packet[:], 0),
		status:    usb.SetupSize,
		control:   trbSetupStage.bits() | trbImmediate | kind<<trbSetupShift,
	}, 0)
	if n > 0 {
		first := trbDataStage.bits()
		if in {
			first |= trbDirIn
		}
		e.queueData(first, n, in, false)
	}
	e.queue(trb{control: trbStatusStage.bits() | trbIOC | status}, 0)
}

// queueData puts one TD with n bytes of data into the ring: the first TRB is of the given kind, the
// others are Normal TRBs. A short packet in any of them has an event. The last one has an event if
// it ends the transfer (last).
func (e *endpoint) queueData(kind uint32, n int, in, last bool) {
	for at := 0; ; {
		size := min(n-at, pieceSize)
		t := trb{control: kind}
		if n > 0 {
			t.parameter = e.pieces[at/pieceSize].Bus
		} else {
			t.parameter = e.ring.buf.Bus // any valid address, since no data are transferred
		}
		t.status = uint32(size) | e.tdSize(at, at+size, n)<<trbSizeShift
		at += size
		if in {
			t.control |= trbShort
		}
		if at < n {
			t.control |= trbChain
		} else if last {
			t.control |= trbIOC
		}
		e.queue(t, size)
		if at >= n {
			return
		}
		kind = trbNormal.bits()
	}
}

// sizeInPackets is the first version whose TD sizes are in packets. Before, they were in kilobytes.
const sizeInPackets = 0x0100

// tdSize is the TD size of a TRB with the bytes from at to end of n: the number of packets after
// it, 0 for the last TRB (xHCI 1.2, 4.11.2.4). Before version 1.0 it is the number of kilobytes,
// including its own (Linux, xhci_td_remainder).
func (e *endpoint) tdSize(at, end, n int) uint32 {
	left := 0
	switch {
	case e.d.c.caps.version < sizeInPackets:
		left = (n - at) >> 10
	case end < n:
		left = (n+e.packet-1)/e.packet - end/e.packet
	}
	return uint32(min(left, trbSizeMax))
}

// queue puts one TRB with size bytes of data into the ring.
func (e *endpoint) queue(t trb, size int) {
	at := e.ring.put(t)
	td := &e.td
	before := uint32(0)
	if td.count == 0 {
		td.first = at
	} else {
		before = td.end[td.count-1]
	}
	td.end[td.count] = before + uint32(size)
	td.count++
}
