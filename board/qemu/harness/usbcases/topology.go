//go:build linux && !tamago

package usbcases

import (
	"fmt"
	"strings"

	"tamaccid/board/qemu/harness"
)

// fourHubs are nested on root port 1.
var fourHubs = []string{"1", "1.2", "1.2.3", "1.2.3.4"}

// topologies are places of readers. QEMU's hubs are full speed: faster readers are on root ports
// only.
var topologies = []trial{
	{"QEMU's reader on a root port", func(s *stand) {
		s.own("2")
		s.expect("QEMU")
	}},
	{"full speed on a root port", alone("short", "1")},
	{"high speed on a root port", alone("high-speed", "2")},
	{"SuperSpeed on a root port", alone("super-speed", "3")},
	{"full speed behind one hub", alone("short", "1.5", "1")},
	{"full speed behind four nested hubs", alone("short", "1.2.3.4.5", fourHubs...)},
	{"QEMU's reader behind one hub", func(s *stand) {
		s.hub("4")
		s.own("4.1")
		s.expect("QEMU")
	}},
	{"QEMU's reader behind four nested hubs", func(s *stand) {
		s.hub(fourHubs...)
		s.own("1.2.3.4.8")
		s.expect("QEMU")
	}},
	{"a reader in alternate setting 1", alone("alternate-setting", "1")},
	{"a reader that is plugged in again has its name again", func(s *stand) {
		s.plug("first", "1", s.device("first", "short"))
		s.expect("first")
		s.plug("second", "2", s.device("second", "short"))
		for _, port := range []string{"1", "3"} {
			s.expect("first", "second")
			s.unplug("first")
			s.expect("second")
			s.plug("first", port, s.device("first", "short"))
			const want = "Virtual first 0, Virtual second 1"
			if names := s.do("expect", "first", "second"); names != want {
				s.Errorf("the readers are %q, want %q", names, want)
			}
		}
	}},
	{"eight readers at all speeds and depths, one by one and all at once", func(s *stand) {
		s.hub(fourHubs...)
		all := []struct{ kind, port string }{
			{"short", "1.1"}, {"tpdu", "1.2.1"}, {"extended", "1.2.3.1"}, {"short", "1.2.3.4.1"},
			{"high-speed", "2"}, {"super-speed", "3"}, {"two-endpoints", "4"},
		}
		var keys []string
		for i, r := range all {
			id := fmt.Sprintf("r%d", i)
			s.plug(id, r.port, s.device(id, r.kind))
			keys = append(keys, id)
		}
		s.own("5")
		s.expect(append(keys, "QEMU")...)
		s.must(s.agent.Send(s.ctx, "traffic last"))
		s.plug("last", "6", s.device("last", "short"))
		text, err := s.agent.Answer(s.ctx)
		s.err = err
		s.must(err)
		if !strings.HasSuffix(text, " 0 failed") {
			s.Error(text)
		}
	}},
	{"a reader on each of two controllers", func(s *stand) {
		s.plug("first", "1", s.device("first", "high-speed"))
		s.plugInto(secondBus, "second", s.device("second", "short"))
		s.expect("first", "second")
		s.unplug("first")
		s.expect("second")
	}},
	{"a hub is unplugged with everything behind it, and plugged in again", func(s *stand) {
		s.hub("1", "1.2")
		s.plug("first", "1.1", s.device("first", "short"))
		s.plug("second", "1.2.1", s.device("second", "short"))
		s.plug("third", "2", s.device("third", "high-speed"))
		s.expect("first", "second", "third")
		s.unplug(harness.HubID("1"))
		s.in = []string{"third"}
		s.expect("third")
		s.hub("1", "1.2")
		s.plug("second", "1.2.1", s.device("second", "short"))
		s.expect("second", "third")
	}},
}

// alone tests one reader of a kind on a port, behind these hubs.
func alone(kind, port string, hubs ...string) func(s *stand) {
	return func(s *stand) {
		s.hub(hubs...)
		s.plug("alone", port, s.device("alone", kind))
		s.expect("alone")
	}
}
