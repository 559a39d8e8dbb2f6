//go:build linux && !tamago

package machine

import (
	"context"
	"path/filepath"
	"testing"

	"tamaccid/board/qemu"
	"tamaccid/board/qemu/usbhost"
)

// agent boots a machine that is nothing but the agent.
func agent(ctx context.Context, c qemu.Config) (*qemu.Machine, *qemu.Agent, error) {
	c.Kernel = filepath.Join(kernels, "agent")
	// The machine outlives its boot, whose limit ctx is.
	m, err := qemu.Start(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, nil, err
	}
	a, err := m.Agent(ctx)
	return m, a, err
}

func TestUSBHost(t *testing.T) {
	t.Parallel()
	usbhost.Test(t, agent, usbhost.Models...)
}
