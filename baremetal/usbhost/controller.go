package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// A Controller is a host controller driver: it operates root ports and moves data to and from
// devices. It issues a request to a device only where its hardware does so by itself (SET_ADDRESS).
// All other requests to devices, hubs included, come from the bus.
//
// All methods may be called concurrently. None blocks longer than its context, its timeout and the
// bound of the hardware allow. After a controller has failed, all methods return ErrDead, and
// pending calls end with it.
type Controller interface {
	// Name names the controller for messages: "xHCI 1.0 at PCI 0000:00:04.0".
	Name() string

	// Ports is the number of root ports. They are numbered from 1.
	Ports() int
	// Port reads the state of a root port, without a side effect.
	Port(port int) (PortStatus, error)
	// SetPower switches the power of a root port. Without power switches it does nothing.
	SetPower(port int, on bool) error
	// PowerGood is the time from SetPower(port, true) until the power of a root port is good.
	PowerGood() time.Duration
	// StartReset starts a reset of a root port. The reset has ended when the status is no longer
	// Resetting and has ResetChange. The controller keeps the specified duration (USB 2.0, 7.1.7.5;
	// USB 3.2, 7.4.2).
	StartReset(port int, kind Reset) error
	// Disable disables a root port.
	Disable(port int) error
	// Acknowledge clears changes of a root port: those that the caller has read, so that no change
	// is lost.
	Acknowledge(port int, changes PortChange) error
	// Changes receives a value when the status of a root port may have changed since the last one
	// was received. It is closed when the controller was closed or has failed.
	Changes() <-chan struct{}

	// NewDevice allocates the controller's resources for a device in the Default state, which was
	// just reset, on an enabled port. The bus calls NewDevice only when the Address of the device
	// before has returned or that device was released.
	NewDevice(ctx context.Context, at Location) (Device, error)

	// Close stops the controller. When it returns, no DMA is in progress, pending transfers have
	// ended with usb.ErrGone, and the memory was released.
	Close() error
	// Err is the reason why the controller has failed, nil as long as it works.
	Err() error

	// Halt stops the controller at once and for good: when it returns, no DMA is in progress,
	// unless the hardware is defective. It is meant for the moment before an operating system takes
	// over: it allocates nothing, takes no lock, waits for no goroutine, and may interrupt any
	// other method. It may be called twice. All other methods but Wipe and Close fail afterwards.
	Halt()
	// Wipe clears the data of transfers in flight, under the same conditions as Halt, and after it.
	Wipe()
}

// ErrDead: the controller has failed. It reported an internal error, was removed, or does not
// respond.
var ErrDead = errors.New("usb: host controller dead")

// ErrNoMemory: no more memory that the controller can address is available.
var ErrNoMemory = errors.New("usb: out of DMA memory")

// ErrNoRoom: a controller or hub has no more resources for a device: slots, bandwidth, addresses.
var ErrNoRoom = errors.New("usb: no resources for another device")

// Reset is a kind of port reset.
type Reset uint8

// The kinds of reset.
const (
	HotReset  Reset = iota // USB 2.0, 7.1.7.5; USB 3.2, 7.4.2
	WarmReset              // SuperSpeed only: it also retrains the link (USB 3.2, 7.4.2)
)

// PortStatus is the state of a root port or of a hub's port (USB 2.0, 11.24.2.7; USB 3.2,
// 10.16.2.6).
type PortStatus struct {
	Connected   bool
	Enabled     bool
	Powered     bool
	Resetting   bool
	OverCurrent bool
	// USB3: the port is a SuperSpeed port, which enables itself when a device is connected.
	USB3 bool
	// Stuck: the SuperSpeed link is inactive or in compliance mode and needs a warm reset (USB 3.2,
	// 7.5).
	Stuck bool
	// Speed is the speed of the device. It is valid while the port is enabled.
	Speed  usb.Speed
	Change PortChange
}

// PortChange is a set of changes that were not acknowledged.
type PortChange uint8

// The changes (USB 2.0, table 11-22; USB 3.2, table 10-14).
const (
	ConnectChange PortChange = 1 << iota
	EnableChange
	OverCurrentChange
	ResetChange // a reset of either kind has ended
	LinkChange
	ConfigChange // configuration of a SuperSpeed port has failed
)

// Location is the place of a device in the tree of a controller.
type Location struct {
	// RootPort is the root port, from 1.
	RootPort uint8
	// Route has the hub ports on the path from the root port, four bits for each tier, the first
	// hub's in the lowest bits (USB 3.2, 8.9). Ports above 15 count as 15. It is zero for a device
	// on a root port.
	Route uint32
	// Tier is the number of hubs on the path.
	Tier  uint8
	Speed usb.Speed
	// TTHub is the address of the high-speed hub whose transaction translator serves this low-speed
	// or full-speed device, and TTPort the port of that hub (USB 2.0, 11.14). Both are 0 where no
	// hub's translator does.
	TTHub, TTPort uint8
	// MultiTT: the hub uses one translator per port.
	MultiTT bool
}

// A Device holds a controller's resources for one device: its address and its endpoints. Calls for
// different endpoints may be concurrent. The caller serialises calls for one endpoint.
//
// The errors of transfers are those of usb.Transport. A transfer that has returned is no longer in
// flight, whatever the error. After a failed transfer through a transaction translator the bus
// clears the translator's buffer before it starts another one on the endpoint. Therefore the
// controller must not send transactions for an endpoint without a transfer (USB 2.0, 11.17.5).
type Device interface {
	// Address moves the device to the Address state (USB 2.0, 9.1.1.4) and returns its address,
	// from 1 to 127, unique among the devices behind a root port. The caller waits for the recovery
	// of the device (USB 2.0, 9.2.6.3).
	Address(ctx context.Context) (uint8, error)
	// SetMaxPacketSize0 sets the packet size of the default control pipe. It is initially the
	// smallest that the speed allows (USB 2.0, 5.5.3): 8 at low and full speed, 64 at high speed,
	// 512 at SuperSpeed.
	SetMaxPacketSize0(ctx context.Context, n int) error
	// SetHub declares the device to be a hub.
	SetHub(ctx context.Context, h HubInfo) error
	// Configure replaces the endpoints other than the default control pipe. An endpoint that is in
	// both sets with all fields equal keeps its data toggle and its transfers. A new endpoint
	// starts with DATA0. Transfers of an endpoint that is removed end with usb.ErrGone. The bus
	// calls it before SET_CONFIGURATION and SET_INTERFACE (USB 2.0, 9.1.1.5). To restart an
	// endpoint, the bus removes it by a first call and adds it by a second one. Endpoints are as
	// the device describes them, within these limits: none is endpoint 0, none is listed twice,
	// none is isochronous, and no packet size is larger than the speed allows.
	Configure(ctx context.Context, endpoints []usb.Endpoint) error

	// Control performs a control transfer on the default control pipe, as usb.Transport specifies.
	// A control transfer that is stalled leaves the default control pipe usable.
	Control(
		ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
	) (n int, err error)
	// Transfer performs one transfer on another endpoint, as usb.Transport specifies.
	Transfer(
		ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
	) (n int, err error)
	// ResetEndpoint makes a halted endpoint usable again, on the host's side, and sets its data
	// toggle to DATA0.
	ResetEndpoint(ctx context.Context, endpoint uint8) error
	// Cancel ends the transfer in flight on an endpoint, if there is one, with context.Canceled,
	// and does not wait for that. Endpoint 0 is the default control pipe. Transport.Close uses it,
	// since a context per transfer would have to be allocated.
	Cancel(endpoint uint8)
	// MaxTransfer is the size in bytes of the largest buffer that Transfer accepts.
	MaxTransfer() int

	// Release ends all transfers with usb.ErrGone and releases the resources. The device may still
	// be connected. Later calls return usb.ErrGone.
	Release()
}

// HubInfo describes a hub to a controller (xHCI 1.2, 6.2.2; USB 2.0, 11.23.2.1).
type HubInfo struct {
	Ports     uint8
	MultiTT   bool  // the hub uses one transaction translator per port
	ThinkTime uint8 // of the transaction translator: wHubCharacteristics bits 6:5
}
