package native_test

import (
	"testing"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
)

func TestResetsLeaveAWorkingCard(t *testing.T) {
	dispositions := map[string]sclib.Disposition{"leave": sclib.LeaveCard, "warm": sclib.ResetCard,
		"cold": sclib.UnpowerCard}
	for _, kind := range []string{"t0", "t1"} {
		for before, first := range dispositions {
			for then, second := range dispositions {
				t.Run(kind+" after "+before+" and "+then, func(t *testing.T) {
					chip, err := card.Named(kind)
					if err != nil {
						t.Fatal(err)
					}
					d, _, sc := world(t, reader.TPDU)
					d.Reader(0).Insert(0, chip)
					card, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
					if err != nil {
						t.Fatal(err)
					}
					for _, disposition := range []sclib.Disposition{first, second, first} {
						if text, err := sayHello(t.Context(), card); err != nil ||
							text != "Hello world!" {
							t.Errorf("%q, %v", text, err)
						}
						if err := card.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
							disposition); err != nil {
							t.Fatal(err)
						}
					}
					if text, err := sayHello(t.Context(), card); err != nil ||
						text != "Hello world!" {
						t.Errorf("%q, %v", text, err)
					}
				})
			}
		}
	}
}
