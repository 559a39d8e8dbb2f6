//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/usbcases"
)

// agentDirectly boots a machine whose driver is in direct mode, and starts the agent there.
func agentDirectly(
	ctx context.Context, c harness.Config,
) (*harness.Machine, *harness.Agent, error) {
	return agentBehind(ctx, c, directly)
}

// agentBehind boots a machine, loads the driver by a command line and starts the agent.
func agentBehind(
	ctx context.Context, c harness.Config, load string,
) (*harness.Machine, *harness.Agent, error) {
	c.Volume = volume
	// The machine runs longer than its boot, whose limit ctx is.
	m, err := harness.Start(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, nil, err
	}
	sh, err := m.Shell(ctx)
	if err != nil {
		return m, nil, err
	}
	if err := booting(load)(ctx, sh); err != nil {
		return m, nil, fmt.Errorf("%s: %w", load, err)
	}
	if _, err := sh.Start(ctx, "agent.efi"); err != nil {
		return m, nil, err
	}
	a, err := m.Agent(ctx)
	return m, a, err
}

func TestUSBHost(t *testing.T) {
	t.Parallel()
	usbcases.Test(t, agentDirectly, usbcases.Models...)
}

// TestFleetDirectly runs the exchange test over the readers of the fleet that are on xHCI
// controllers, at the most important lengths, in direct mode.
func TestFleetDirectly(t *testing.T) {
	t.Parallel()
	args, _ := launch(t, fleet)
	s := harness.NewSuite(t, harness.Config{Volume: volume, Args: args})
	s.Boot = booting(directly)
	for i, v := range fleet {
		if v.bus != "" {
			continue
		}
		s.Run(v.name, time.Minute, func(t *testing.T, c *harness.Case) {
			if r := c.Command("exchange.efi -quick " + v.product(i)); r.Status != 0 ||
				!strings.Contains(r.Output, " 0 failed, 0 without") {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
		})
	}
}
