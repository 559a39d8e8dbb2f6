// Package xhci drives extensible host controllers.
//
// One goroutine per controller, the pump, polls it; event.go has its policy. An interrupt, if the
// board has one, only wakes the pump earlier. All data from the controller and from devices are
// checked before use: pointers in events are compared with the addresses of the driver's rings, and
// register values that are offsets or counts with the size of the register space.
//
// The driver accesses memory that the controller also accesses in the order of xHCI 1.2, 4.9.2: it
// reads the word with the cycle bit first, by an atomic load, and writes it last, by an atomic
// store. On processors that reorder accesses, Go's atomic functions contain the barriers needed
// towards other processors. A board whose bus masters are not coherent with the processor must
// provide uncached memory. The processor is little-endian, as on all architectures for which Go and
// TamaGo provide DMA memory.
//
// Known deviations of controllers are handled for all controllers, without a table of names:
//
//   - Success is reported for a transfer that was short (Fresco Logic, AMD, Etron EJ168, Renesas
//     uPD720201, ASMedia ASM1042A; Linux had XHCI_TRUST_TX_LENGTH): the residue decides, whatever
//     the code.
//   - Success is reported once more after a short transfer (versions above 0.96, ASMedia ASM1042,
//     MediaTek; Linux: XHCI_SPURIOUS_SUCCESS): late events are dropped.
//   - The context of a halted endpoint has a stale cycle bit (VIA VL805; Linux had
//     XHCI_EP_CTX_BROKEN_DCS): the driver uses its own.
//   - TRBs beyond the end of a ring are read (VIA VL805, Zhaoxin; Linux: XHCI_TRB_OVERFETCH): rings
//     have spare ones.
//   - An endpoint, and the command that stops it, hang after a transfer is continued that had a
//     transaction error (AMD Promontory, Etron EJ168 and EJ188; Linux: XHCI_NO_SOFT_RETRY; also
//     reported of Renesas uPD720201): transfers are never continued.
//   - The controller rarely stops when an endpoint is reset whose root port has lost its link
//     (Linux, xhci_handle_halted_endpoint): see linked.
//   - A control transfer fails when a link TRB follows its setup stage (Etron EJ168, EJ188; Linux:
//     XHCI_ETRON_HOST): no link TRB does.
//   - The machine may hang when a register is accessed in the millisecond after a reset (Intel;
//     Linux: XHCI_INTEL_HOST): none is.
//   - An aborted command has no event, or is aborted only after a write of the upper half of CRCR
//     (Linux, xhci_abort_cmd_ring): see abort.
//   - An endpoint whose doorbell was rung is reported as stopped for up to 30 ms and rejects Stop
//     Endpoint, but then starts (NEC uPD720200 and others; Linux, xhci_handle_cmd_stop_ep): see
//     recoverLocked.
//   - Long intervals do not work (TI TUSB73x0; Linux: XHCI_LIMIT_ENDPOINT_INTERVAL_7): high-speed
//     and SuperSpeed endpoints have at most 8 ms.
//   - 64-bit addresses do not work though AC64 is set, or ERSTBA must be written upper half first
//     (several of ASMedia, some designs of Synopsys; Linux: XHCI_NO_64BIT_SUPPORT,
//     XHCI_WRITE_64_HI_LO): a board should provide memory below 4 GiB.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI
// 1.2).
package xhci
