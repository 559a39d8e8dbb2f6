package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// A Controller is a USB host controller as the bus sees it: root ports, and a way to devices. It issues what its hardware
// does by itself (an xHCI sends SET_ADDRESS); everything that a device is asked over its default pipe otherwise, hubs
// included, is the bus's task.
//
// All methods may be called concurrently. None blocks longer than its context, its timeout and the hardware's own bound allow.
// A controller that has died answers everything with ErrDead, and its pending work ends with it.
type Controller interface {
	// Name says for messages which controller this is: "xHCI 1.0 at PCI 0000:00:04.0".
	Name() string

	// Ports is the number of root ports. They are numbered from 1.
	Ports() int
	// Port reads the state of a root port. It changes nothing.
	Port(port int) (PortStatus, error)
	// SetPower switches a root port's power, where the hardware can.
	SetPower(port int, on bool) error
	// StartReset begins to reset a root port; it has ended when the status says neither Resetting nor, for a warm reset, more
	// (USB 2.0, 7.1.7.5; USB 3.2, 7.4.2). The controller takes care of how long it lasts.
	StartReset(port int, kind Reset) error
	// Disable ends the traffic on a root port.
	Disable(port int) error
	// Acknowledge clears changes of a root port: those that the caller has seen, so that none is lost.
	Acknowledge(port int, changes PortChange) error
	// Changes has a token when a root port may have changed since the last one was taken. It is closed when the controller
	// was closed or has died.
	Changes() <-chan struct{}

	// NewDevice makes room for a device in its default state, just reset, behind a port that is enabled. Only one device a
	// controller may be between NewDevice and the end of Address: the bus sees to that.
	NewDevice(ctx context.Context, at Location) (Device, error)

	// Close stops the controller and everything on it: no DMA goes on when it returns. Pending transfers end with
	// usb.ErrGone. Memory is given back.
	Close() error
	// Err says why the controller has died, nil as long as it works.
	Err() error
}

// ErrDead says that a controller does not work any more: it reported an internal error, was removed, or did not answer.
var ErrDead = errors.New("usb: host controller dead")

// ErrNoMemory says that there is no memory left that a controller can reach.
var ErrNoMemory = errors.New("usb: out of DMA memory")

// ErrNoRoom says that a controller or a hub has no place left for a device: slots, bandwidth, addresses.
var ErrNoRoom = errors.New("usb: no resources for another device")

// Reset is a way to reset a port.
type Reset uint8

// The kinds of reset.
const (
	HotReset  Reset = iota // USB 2.0, 7.1.7.5; USB 3.2, 7.4.2
	WarmReset              // SuperSpeed only: also trains the link anew
)

// PortStatus is the state of a port, of a root port or a hub's (USB 2.0, 11.24.2.7; USB 3.2, 10.16.2.6).
type PortStatus struct {
	Connected   bool
	Enabled     bool
	Powered     bool
	Resetting   bool
	OverCurrent bool
	// USB3 says that the port is one for SuperSpeed, which enables itself when a device is connected.
	USB3 bool
	// Stuck says that a SuperSpeed link needs a warm reset: it is inactive or in compliance mode (USB 3.2, 7.5).
	Stuck bool
	// Speed is known when the port is enabled.
	Speed  usb.Speed
	Change PortChange
}

// PortChange has a bit for each thing that has changed since it was acknowledged.
type PortChange uint8

// What may change (USB 2.0, table 11-22; USB 3.2, table 10-14).
const (
	ConnectChange PortChange = 1 << iota
	EnableChange
	OverCurrentChange
	ResetChange // a reset has ended, of either kind; the bus waits for it
	LinkChange
	ConfigChange // a SuperSpeed port could not be configured
)

// Location is the place of a device in the tree.
type Location struct {
	RootPort uint8
	// Route has the hub ports on the way from the root port, four bits for each tier, the first hub's lowest (USB 3.2, 8.9).
	// Ports above 15 count as 15. Zero: the device is on the root port.
	Route uint32
	// Tier is the number of hubs on the way.
	Tier  uint8
	Speed usb.Speed
	// TTHub is the high-speed hub whose transaction translator serves this low- or full-speed device, on its port TTPort
	// (USB 2.0, 11.14); nil when there is none.
	TTHub  Device
	TTPort uint8
	// MultiTT says that TTHub uses a translator for each port.
	MultiTT bool
}

// A Device is a place for one device on a controller: its address, its endpoints. Calls for different endpoints may run
// concurrently; calls for one endpoint are serialised by the caller.
//
// The errors are those of usb.Transport; a transfer that has returned is no longer in flight, whatever the error. What it may have left
// behind in a transaction translator the bus clears before it asks for another on the endpoint, so an endpoint without transfers must send
// nothing through one (USB 2.0, 11.17.5).
type Device interface {
	// Address moves the device to the addressed state (USB 2.0, 9.1.1.4) and returns its address on the bus, by which a hub's
	// transaction translator knows it too. It does not wait for the device's recovery (USB 2.0, 9.2.6.3).
	Address(ctx context.Context) (uint8, error)
	// SetMaxPacketSize0 corrects the packet size of the default pipe, which begins with the smallest that the speed allows for
	// all devices (USB 2.0, 5.5.3; 8 for full speed).
	SetMaxPacketSize0(ctx context.Context, n int) error
	// SetHub says that the device is a hub.
	SetHub(ctx context.Context, h HubInfo) error
	// Configure replaces the endpoints other than the default pipe. One that was there before, equal in all its fields, is left
	// alone, with its toggle and the transfers on it; a new one starts with DATA0; transfers on one that is no longer there end
	// with usb.ErrGone. It is called before SET_CONFIGURATION and SET_INTERFACE (USB 2.0, 9.1.1.5); an endpoint that has to
	// start again is taken out by a call without it first. An endpoint's data are not checked beyond what wire's parser does,
	// but: no endpoint 0, none twice, none isochronous, no larger packets than the speed has.
	Configure(ctx context.Context, endpoints []usb.Endpoint) error

	// Control does a control transfer on the default pipe, Transfer one on another endpoint, as usb.Transport says.
	// A control transfer that stalls leaves the default pipe usable.
	Control(ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration) (n int, err error)
	Transfer(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (n int, err error)
	// ResetEndpoint makes a halted endpoint usable and starts it with DATA0, on the host's side.
	ResetEndpoint(ctx context.Context, endpoint uint8) error
	// Cancel ends the transfer that is in flight on the endpoint, if there is one, with context.Canceled, and does not wait for
	// that. An endpoint number of zero is the default pipe. What a transport does when it is closed: a context for each transfer
	// would have to be allocated.
	Cancel(endpoint uint8)
	// MaxTransfer is the largest buffer that Transfer takes.
	MaxTransfer() int

	// Release ends all transfers with usb.ErrGone and gives the place free. The device may have gone or not. Whatever is
	// asked later is answered with usb.ErrGone.
	Release()
}

// HubInfo is what a controller needs to know of a hub (xHCI 1.2, 6.2.2; USB 2.0, 11.23.2.1).
type HubInfo struct {
	Ports     uint8
	MultiTT   bool
	ThinkTime uint8 // of the transaction translator, wHubCharacteristics bits 6:5
}
