// Package usbtest has virtual USB hardware for tests on the host: a host controller (Controller,
// which implements usbhost.Controller), hubs of all kinds (Hub), virtual readers (Reader), and
// devices made of arbitrary descriptors (Gadget). Times are those of hardware; tests run it in a
// bubble of testing/synctest. The model checks that the bus follows the specification and records
// violations (Controller.Violations). Package xhcitest uses the same devices and hubs.
//
// Specifications: Universal Serial Bus Specification 2.0 (USB 2.0), Universal Serial Bus 3.2
// Specification (USB 3.2).
package usbtest
