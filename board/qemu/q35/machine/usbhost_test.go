//go:build linux && !tamago

package machine

import (
	"context"
	"path/filepath"
	"testing"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/usbcases"
)

// agent boots a machine that is nothing but the agent.
func agent(ctx context.Context, c harness.Config) (*harness.Machine, *harness.Agent, error) {
	c.Kernel = filepath.Join(kernels, "agent")
	// The machine outlives its boot, whose limit ctx is.
	m, err := harness.Start(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, nil, err
	}
	a, err := m.Agent(ctx)
	return m, a, err
}

func TestUSBHost(t *testing.T) {
	t.Parallel()
	usbcases.Test(t, agent, usbcases.Models...)
}
