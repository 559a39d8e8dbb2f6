package usbhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tamaccid/ccid/usb"
)

// ErrClaimed says that somebody else has claimed the interface.
var ErrClaimed = errors.New("usb: interface claimed already")

// ErrUsage is a call that no device can serve: an endpoint or setting that the interface does not have, or a buffer of a wrong
// size.
var ErrUsage = errors.New("usb: no such endpoint or setting, or bad buffer size")

// Interface is one interface of a configured device, as Options.Attach gets it. Its methods may be called concurrently.
type Interface struct {
	device   *device
	settings []usb.Interface // at least one
	infos    []usb.Device    // of the settings
	ready    sync.Once

	// The device's mu holds these.
	current int        // index of the setting that the device is in
	claimed *transport // nil while nobody has it
}

// Descriptor is the interface's descriptor in its default setting, with its endpoints and class descriptors.
func (i *Interface) Descriptor() usb.Interface { return i.settings[0] }

// Settings are the descriptors of all the interface's settings, the default one first. The slice is shared and read only.
func (i *Interface) Settings() []usb.Interface { return i.settings }

// Device describes the device and this interface in its default setting. It is shared and read only.
func (i *Interface) Device() *usb.Device { return &i.infos[0] }

// Location is where the device is.
func (i *Interface) Location() Location { return i.device.location }

// Controller is the host controller of the device.
func (i *Interface) Controller() Controller { return i.device.root.controller }

// Ready says that the class driver has brought the interface up, and will go on to run: Settle does not wait for it any longer.
func (i *Interface) Ready() { i.ready.Do(i.device.bus.done) }

// Claim gives the interface in its default setting to one user, who closes the transport in the end.
func (i *Interface) Claim() (usb.Transport, error) {
	return i.ClaimSetting(context.Background(), i.settings[0].AltSetting)
}

// ClaimSetting is Claim for one of Settings. The device is asked for it when it is in another one (USB 2.0, 9.4.10).
func (i *Interface) ClaimSetting(ctx context.Context, alt uint8) (usb.Transport, error) {
	d := i.device
	index := slices.IndexFunc(i.settings, func(s usb.Interface) bool { return s.AltSetting == alt })
	if index < 0 {
		return nil, fmt.Errorf("%w: setting %d of interface %d", ErrUsage, alt, i.settings[0].Number)
	}
	if err := d.changing.acquire(ctx, d.ctx); err != nil {
		return nil, err
	}
	defer d.changing.release()
	d.mu.Lock()
	taken, current := i.claimed != nil, i.current
	d.mu.Unlock()
	switch {
	case d.away.Load():
		return nil, usb.ErrGone
	case taken:
		return nil, ErrClaimed
	}
	if index != current {
		if err := d.setInterface(ctx, i, index); err != nil {
			return nil, fmt.Errorf("usb: setting %d of interface %d: %w", alt, i.settings[0].Number, err)
		}
	}
	t := newTransport(i, &i.settings[index], &i.infos[index])
	d.mu.Lock()
	i.claimed = t
	d.mu.Unlock()
	return t, nil
}

// release is the end of a claim.
func (i *Interface) release() {
	i.device.mu.Lock()
	i.claimed = nil
	i.device.mu.Unlock()
}
