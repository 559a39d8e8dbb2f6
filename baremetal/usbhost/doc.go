// Package usbhost is a USB host that runs without an operating system. It finds devices, also
// behind hubs, gives them addresses and configurations, and offers each of their interfaces to
// class drivers as a transport. Host controller drivers (xhci, ...) are packages of their own below
// this one and implement the interfaces Controller and Device. Class drivers are above it. Neither
// side depends on the other.
//
// # Files
//
// A file uses only files that are above it in this list:
//
//	controller.go      the contract of a host controller driver
//	event.go           what Options.Report is called with
//	lock.go            waits that can be cancelled
//	defaultaddress.go  the turns of devices at address 0
//	settle.go          the count of unfinished work that Bus.Settle waits for
//	interfaces.go      parser: interface descriptors of a configuration
//	hubdescriptor.go   parser: hub descriptor, status change bitmap
//	hubstatus.go       parser: port status of a hub
//	device.go          a device: its state, its end
//	transfer.go        transfers and requests of a device, with its transaction translator
//	strings.go         string descriptors
//	descriptors.go     device and configuration descriptors, the choice of a configuration
//	configure.go       endpoints, configuration, alternate settings
//	transport.go       a claimed interface: usb.Transport
//	interface.go       an interface that can be claimed
//	options.go         the options of a bus
//	tree.go            what all devices behind one controller share
//	upstream.go        the controller or hub that a port belongs to, as the port uses it
//	port.go            a port: its state, its status, its device
//	disconnect.go      the check for a disconnect after a failed transfer
//	reset.go           debouncing and reset of a port
//	enumerate.go       enumeration of the device on a port
//	portstate.go       the state machine of a port
//	ports.go           all ports of a controller or hub
//	hubport.go         requests that operate a hub's ports
//	hub.go             the hub class driver
//	devices.go         the list of configured devices
//	roothub.go         a controller and its root ports
//	bus.go             the bus: controllers, and all devices behind them
//
// Devices form a tree, so the code is recursive in one place: a device on a port may be a hub,
// which has ports. A port reaches the hub driver through tree.newHub, which bus.go sets, and
// through the interface downstream.
//
// Specifications: Universal Serial Bus Specification 2.0 (USB 2.0), Universal Serial Bus 3.2
// Specification (USB 3.2), eXtensible Host Controller Interface 1.2 (xHCI 1.2).
package usbhost
