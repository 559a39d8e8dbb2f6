package usbhost

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tamaccid/ccid/usb"
)

// ErrClaimed: the interface is claimed already.
var ErrClaimed = errors.New("usb: interface claimed already")

// Descriptor is the descriptor of the default setting, with its endpoints and class descriptors.
func (i *Interface) Descriptor() usb.Interface { return i.settings[0] }

// Settings are the descriptors of all settings, the default one first. The slice is shared and read
// only.
func (i *Interface) Settings() []usb.Interface { return i.settings }

// Device describes the device and the default setting of this interface. It is shared and read
// only.
func (i *Interface) Device() *usb.Device { return &i.infos[0] }

// Location is the place of the device.
func (i *Interface) Location() Location { return i.device.location }

// Controller is the host controller of the device.
func (i *Interface) Controller() Controller { return i.device.controller }

// Ready ends Bus.Settle's wait for this interface. A class driver that continues to run calls it
// when it has initialised the interface.
func (i *Interface) Ready() { i.ready.Do(i.done) }

// Claim claims the interface in its default setting. Closing the transport ends the claim.
func (i *Interface) Claim() (usb.Transport, error) {
	return i.ClaimSetting(context.Background(), i.settings[0].AltSetting)
}

// ClaimSetting is Claim for one of Settings. If it is not the current one, the device is requested
// to change to it (USB 2.0, 9.4.10).
func (i *Interface) ClaimSetting(ctx context.Context, alt uint8) (usb.Transport, error) {
	d := i.device
	index := slices.IndexFunc(i.settings,
		func(s usb.Interface) bool { return s.AltSetting == alt })
	if index < 0 {
		return nil, fmt.Errorf("%w: setting %d of interface %d",
			ErrUsage, alt, i.settings[0].Number)
	}
	if err := d.changing.acquire(ctx, d.ctx); err != nil {
		return nil, err
	}
	defer d.changing.release()
	d.mu.Lock()
	taken, current := i.claimed, i.current
	d.mu.Unlock()
	switch {
	case d.away.Load():
		return nil, usb.ErrGone
	case taken:
		return nil, ErrClaimed
	}
	if index != current {
		if err := d.setInterface(ctx, i, index); err != nil {
			return nil, fmt.Errorf("usb: setting %d of interface %d: %w",
				alt, i.settings[0].Number, err)
		}
	}
	i.setClaimed(true)
	return newTransport(d, &i.infos[index], i.settings[index].Endpoints,
		func() { i.setClaimed(false) }), nil
}

func (i *Interface) setClaimed(claimed bool) {
	i.device.mu.Lock()
	i.claimed = claimed
	i.device.mu.Unlock()
}
