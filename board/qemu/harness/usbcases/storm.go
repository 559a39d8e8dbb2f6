//go:build linux && !tamago

package usbcases

import (
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/reader"
)

const (
	stormEvents = 200
	stormRounds = 3 // at most (policy): a leak appears in each
	stormSeed   = 20250704

	stormPause = 60 * time.Millisecond
)

// A place is a port for a reader in the storm.
type place struct{ id, kind, port string }

var places = []place{
	{"s0", "short", "1.1"}, {"s1", "tpdu", "1.2.1"}, {"s2", "extended", "1.2.2"},
	{"s3", "high-speed", "2"},
	{"s4", "super-speed", "3"}, {"s5", "short", "4"}, {"s6", "two-endpoints", "5"},
	{"s7", "high-speed", "6"},
}

// storms are sequences of pseudo-random events with a fixed seed.
var storms = []trial{
	{"200 random events of plugging and unplugging during traffic: nothing leaks, hangs or stays",
		func(s *stand) {
			devices := map[string]*reader.Device{}
			for _, b := range places {
				devices[b.id] = s.device(b.id, b.kind)
			}
			random := rand.New(rand.NewSource(stormSeed))
			// What only the first round, or only one of several, takes and keeps is not a leak.
			s.storm(random, devices, stormEvents/4)
			before := s.stats()
			var grown []string
			for round := 0; round == 0 || round < stormRounds && grown != nil; round++ {
				s.storm(random, devices, stormEvents)
				after := s.stats()
				s.Logf("before: %v, after: %v", before, after)
				grown = growth(before, after)
				before = after
			}
			if grown != nil {
				s.Errorf("each round takes and keeps: %v", grown)
			}
		}},
}

// free is the name of the number of free pages. All other numbers count what is in use.
const free = "pages"

// slack is by how much a number may differ without a leak, because garbage is not collected at
// once.
var slack = map[string]int{free: 16, "heap": 16 << 10}

// growth returns the names of the numbers that have grown.
func growth(before, after map[string]int) (names []string) {
	for name, n := range after {
		more := n - before[name]
		if name == free {
			more = -more
		}
		if more > slack[name] {
			names = append(names, fmt.Sprintf("%s (%d)", name, more))
		}
	}
	return names
}

// storm plugs and unplugs readers at random. Nothing is plugged in before and after it.
func (s *stand) storm(random *rand.Rand, devices map[string]*reader.Device, events int) {
	s.Helper()
	s.hub("1", "1.2")
	s.must(s.agent.Send(s.ctx, "traffic last"))
	for range events {
		if random.Intn(20) == 0 {
			s.toggleHub()
		} else {
			s.toggle(places[random.Intn(len(places))], devices)
		}
		time.Sleep(time.Duration(random.Int63n(int64(stormPause))))
	}
	s.plug("last", "7", s.device("last", "short"))
	text, err := s.agent.Answer(s.ctx)
	s.err = err
	s.must(err)
	s.Log(text)
	var keys []string
	for _, id := range s.in {
		if !strings.HasPrefix(id, "hub") {
			keys = append(keys, id)
		}
	}
	s.expect(keys...)
	s.clear()
}

// toggle plugs a reader in, or unplugs it when it is plugged in.
func (s *stand) toggle(b place, devices map[string]*reader.Device) {
	s.Helper()
	switch {
	case slices.Contains(s.in, b.id):
		s.unplug(b.id)
	case strings.HasPrefix(b.port, "1.2.") && !slices.Contains(s.in, harness.HubID("1.2")):
		s.hub("1.2")
	default:
		s.plug(b.id, b.port, devices[b.id])
	}
}

// toggleHub unplugs the inner hub with what is behind it, or plugs it in again.
func (s *stand) toggleHub() {
	s.Helper()
	if !slices.Contains(s.in, harness.HubID("1.2")) {
		s.hub("1.2")
		return
	}
	s.unplug(harness.HubID("1.2"))
	for _, b := range places {
		if strings.HasPrefix(b.port, "1.2.") {
			s.in = slices.DeleteFunc(s.in, func(id string) bool { return id == b.id })
		}
	}
}

// stats returns the agent's numbers of what is in use.
func (s *stand) stats() map[string]int {
	s.Helper()
	words := strings.Fields(s.do("stats"))
	if len(words) == 0 || len(words)%2 != 0 {
		s.Fatalf("stats are %q", words)
	}
	all := map[string]int{}
	for i := 0; i < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		if err != nil {
			s.Fatal(fmt.Errorf("stats: %w", err))
		}
		all[words[i]] = n
	}
	return all
}
