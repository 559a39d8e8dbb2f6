// Package xhcitest is a model of an extensible host controller: registers, rings, contexts, and
// ports for the virtual devices and hubs of package usbtest. It checks the driver that uses it and
// calls Options.Fail for each violation of the specification, also for those that existing hardware
// accepts. It can deviate from the specification as defective or hostile hardware does (faults.go).
//
// It was written from the specification and shares no code with the driver, so that an error in one
// is not hidden by the other. It uses package time only, so that tests run in virtual time.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI
// 1.2).
package xhcitest
