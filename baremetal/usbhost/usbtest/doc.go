// Package usbtest is a USB made of nothing, for tests on the host: a host controller (Controller, a usb.Controller) with hubs
// of any kind, virtual readers and devices that lie. It keeps the times that hardware has, in a bubble of testing/synctest best,
// and keeps an eye on the rules that a bus has to follow: what it finds is in Controller.Violations.
//
// Specifications: Universal Serial Bus Specification 2.0 (USB 2.0), Universal Serial Bus 3.2 Specification (USB 3.2).
package usbtest
