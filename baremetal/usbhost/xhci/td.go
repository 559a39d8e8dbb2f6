package xhci

import "tamaccid/ccid/usb"

// maxTD is how many blocks a transfer has at most, with setup and status stages.
const maxTD = maxTransfer/pieceSize + 2

// transfer is what is in flight on an endpoint: blocks of its ring from first on.
type transfer struct {
	pending bool
	control bool
	first   int
	count   int
	end     [maxTD]uint32 // data bytes up to the end of each block
	n       int           // moved
	short   bool          // the data stage ended early, with n
	code    code
}

// queueControl puts the stages of a control transfer into the ring, a descriptor each (xHCI 1.2, 4.11.2.2).
func (e *endpoint) queueControl(setup usb.Setup, n int, in bool) {
	e.td = transfer{control: true}
	e.ring.together(2) // Etron's controllers fail when a link follows the setup stage (Linux: XHCI_ETRON_HOST)
	e.ring.begin()
	packet := setup.Bytes()
	kind, status := uint32(0), uint32(trbDirIn)
	if n > 0 {
		kind = trbSetupOut
		if in {
			kind, status = trbSetupIn, 0
		}
	}
	e.queue(trb{parameter: get64(packet[:], 0), status: usb.SetupSize, control: trbSetupStage.bits() | trbImmediate | kind<<trbSetupShift}, 0)
	if n > 0 {
		first := trbDataStage.bits()
		if in {
			first |= trbDirIn
		}
		e.queueData(first, n, in, false)
	}
	e.queue(trb{control: trbStatusStage.bits() | trbIOC | status}, 0)
}

// queueData puts the blocks of one transfer descriptor into the ring: the first is of the kind given, the others are normal ones. A short packet in
// any of them is told; the end of the last if it ends the transfer.
func (e *endpoint) queueData(kind uint32, n int, in, last bool) {
	for at := 0; ; {
		size := min(n-at, pieceSize)
		t := trb{control: kind}
		if n > 0 {
			t.parameter = e.pieces[at/pieceSize].Bus
		} else {
			t.parameter = e.ring.buf.Bus // of no bytes: anywhere
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

// sizeInPackets is the first version whose TD sizes count packets; before it was kilobytes.
const sizeInPackets = 0x0100

// tdSize is the TD size of a block that holds the bytes from at to end of n: the packets that are left after it, none after the last
// (xHCI 1.2, 4.11.2.4), or the kilobytes that are left with it (before version 1.0; Linux, xhci_td_remainder).
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

// queue puts one block into the ring that moves size bytes.
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
