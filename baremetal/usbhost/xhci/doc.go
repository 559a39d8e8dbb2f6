// Package xhci drives extensible host controllers.
//
// A controller is polled by one goroutine, its pump, whose policy is in event.go; an interrupt, where a board has one, only
// wakes it sooner. What the hardware and the devices say is checked before it is used: event pointers are looked up, never
// followed, and register values that point anywhere are compared with the size of the register space.
//
// Memory that the controller writes is read in the order that xHCI 1.2, 4.9.2 asks for: the word with the cycle bit first, by an
// atomic load; memory that it reads is written with that word last, by an atomic store. On processors that reorder, Go's atomics
// have the barriers that this needs towards other processors; a board whose bus master is not coherent with them must give
// uncached memory. The machine is little endian, as all are for which Go and TamaGo give DMA memory.
//
// What is known of controllers that deviate is met for all of them, without a table of names:
//
//   - a success is told for a transfer that was short (Fresco Logic, AMD, Etron EJ168, Renesas uPD720201, ASMedia ASM1042A; Linux had
//     XHCI_TRUST_TX_LENGTH): the residue counts, whatever the code;
//   - a success is told once more after a short transfer (those after version 0.96, ASMedia ASM1042, MediaTek; Linux:
//     XHCI_SPURIOUS_SUCCESS): late events are dropped;
//   - the context of a halted endpoint has a stale cycle bit (VIA VL805; Linux had XHCI_EP_CTX_BROKEN_DCS): the driver's own is used;
//   - blocks are read from beyond the end of a ring (VIA VL805, Zhaoxin; Linux: XHCI_TRB_OVERFETCH): there are spare ones;
//   - an endpoint hangs, and the command that is to stop it, when it goes on with its transfer after a transaction error (AMD Promontory,
//     Etron EJ168 and EJ188; Linux: XHCI_NO_SOFT_RETRY; told of Renesas uPD720201 too): it never does;
//   - the controller stops, rarely, when endpoints are reset whose root port has lost its link (Linux, xhci_handle_halted_endpoint): see
//     linked;
//   - a control transfer fails when a link follows its setup stage (Etron EJ168, EJ188; Linux: XHCI_ETRON_HOST): none does;
//   - the machine may hang when a register is accessed in the millisecond after a reset (Intel; Linux: XHCI_INTEL_HOST): none is;
//   - an aborted command has no event, or is aborted only when the upper half of CRCR is written too (Linux, xhci_abort_cmd_ring): see
//     abort;
//   - an endpoint whose doorbell was rung looks stopped for up to 30 ms, refuses to be stopped meanwhile, and starts all the same (NEC
//     uPD720200 and others; Linux, xhci_handle_cmd_stop_ep): see settle;
//   - long intervals make trouble (TI TUSB73x0; Linux: XHCI_LIMIT_ENDPOINT_INTERVAL_7): high-speed and SuperSpeed endpoints have 8 ms at
//     most;
//   - 64-bit addresses do not work though AC64 says so, or ERSTBA wants its upper half first (several of ASMedia's; some of Synopsys's
//     design; Linux: XHCI_NO_64BIT_SUPPORT, XHCI_WRITE_64_HI_LO): a board should give memory below 4 GiB.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI 1.2).
package xhci

// Registers is the controller's register space, BAR 0 (xHCI 1.2, 5). All accesses are naturally aligned words in host
// byte order. What was read from a controller that was removed is all ones.
type Registers interface {
	Read32(offset uint32) uint32
	Write32(offset uint32, v uint32)
}
