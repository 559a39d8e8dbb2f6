//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"testing"

	"tamaccid/board/qemu"
	"tamaccid/board/qemu/usbhost"
)

// agentDirectly boots a machine whose driver runs the USB host controller itself, and starts the agent there.
func agentDirectly(ctx context.Context, c qemu.Config) (*qemu.Machine, *qemu.Agent, error) {
	c.Volume = volume
	// The machine outlives its boot, whose limit ctx is.
	m, err := qemu.Start(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, nil, err
	}
	sh, err := m.Shell(ctx)
	if err != nil {
		return m, nil, err
	}
	r, err := sh.Run(ctx, directly)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return m, nil, fmt.Errorf("%s: %w", directly, err)
	}
	if _, err := sh.Start(ctx, "agent.efi"); err != nil {
		return m, nil, err
	}
	a, err := m.Agent(ctx)
	return m, a, err
}

func TestUSBHost(t *testing.T) { usbhost.Test(t, agentDirectly, usbhost.Models...) }
