// Package usbhost is a USB host without an operating system: it finds devices, behind hubs too, gives them addresses and
// configurations, and offers each of their interfaces to class drivers as a transport. The host controllers below it
// are packages of their own (xhci, ...), joined by the interface Controller; classes above it know nothing of either.
//
// Specifications: Universal Serial Bus Specification 2.0 (USB 2.0), Universal Serial Bus 3.2 Specification (USB 3.2).
package usbhost
