//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

const (
	costAPDUs  = 1000
	costRounds = 7 // of both modes, of which the median counts (policy)
	costLimit  = 5 * time.Minute
)

// costBoot is a machine with a reader at the Shell's prompt.
func costBoot(ctx context.Context, b *testing.B) *harness.Shell {
	b.Helper()
	harness.Require(b)
	m, err := harness.Start(ctx, harness.Config{Volume: volume, Reader: true, Card: insert("t0")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	sh, err := m.Shell(ctx)
	if err != nil {
		b.Fatal(err)
	}
	return sh
}

var perAPDU = regexp.MustCompile(`(\d+) ns each\s`)

// cost loads the driver by a command line, sends APDUs through it, and unloads it. It returns the
// time of one APDU in nanoseconds.
func cost(ctx context.Context, sh *harness.Shell, load string) (ns float64, err error) {
	var measured string
	for _, line := range []string{load, fmt.Sprintf("apdus.efi %d", costAPDUs)} {
		r, err := sh.Run(ctx, line)
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", line, err)
		}
		measured = r.Output
	}
	match := perAPDU.FindStringSubmatch(measured)
	if match == nil {
		return 0, fmt.Errorf("no time in %q", measured)
	}
	r, err := sh.Unload(ctx, driverImage)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("unload: %w", err)
	}
	return strconv.ParseFloat(match[1], 64)
}

// BenchmarkDirect compares 1,000 APDUs through the firmware's USB stack with 1,000 in direct mode,
// on one machine. Each round has both, one after the other, and a ratio of its own, so that other
// work of the host affects both alike.
func BenchmarkDirect(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), costLimit)
	defer cancel()
	sh := costBoot(ctx, b)
	const firmware, ours = 0, 1
	loads := [...]string{firmware: "load " + driverImage, ours: directly}
	for range b.N {
		var took [len(loads)][]float64
		var ratios []float64
		for i := range 2 * costRounds {
			mode := (i + i/2) % 2 // each is first in every second round
			ns, err := cost(ctx, sh, loads[mode])
			if err != nil {
				b.Fatal(err)
			}
			took[mode] = append(took[mode], ns)
			if i%2 == 1 {
				ratios = append(ratios, took[ours][i/2]/took[firmware][i/2])
			}
		}
		b.ReportMetric(median(took[firmware])/1e3, "us/APDU-firmware")
		b.ReportMetric(median(took[ours])/1e3, "us/APDU-direct")
		b.ReportMetric(median(ratios), "direct/firmware")
		b.ReportMetric(0, "ns/op") // not of interest: left out
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
