// Package xhcitest is an extensible host controller made of Go: its registers, rings and contexts, and ports that virtual devices are
// plugged into. A driver that runs on it is watched: what a driver must not do is told to Options.Fail, be it that today's
// hardware would let it pass. It can be made to misbehave as broken or hostile hardware does, see faults.go.
//
// It was written from the specification, and shares no code with the driver: neither hides the other's mistakes. Times are those of
// package time, so that a test in a synctest bubble does not wait.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI 1.2).
package xhcitest
