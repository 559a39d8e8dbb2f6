package gate

import (
	"math"
	"testing"
	"time"
)

func TestRequestLimitCountsTimeThatPasses(t *testing.T) {
	const limit, second = 5 * time.Minute, int64(time.Second)
	for _, c := range []struct {
		name string
		at   func(look int64) int64 // the clock at each look, of which there is one a second
		ends int64                  // the look at which the limit is exceeded, 0: never
	}{
		{"the clock advances evenly", func(n int64) int64 { return n * second }, 301},
		{"the clock stands still", func(n int64) int64 { return 0 }, 0},
		{"the clock is set back by an hour", func(n int64) int64 {
			if n > 100 {
				n -= 3600
			}
			return n * second
		}, 302},
		{"the clock is set forward by a century", func(n int64) int64 {
			if n > 100 {
				return n*second + 100*365*86400*second
			}
			return n * second
		}, 272},
		{"the clock has reached its end", func(n int64) int64 { return math.MaxInt64 }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, ends := newBudget(c.at(0)), int64(0)
			for n := int64(1); n < 1000 && ends == 0; n++ {
				if b.exceeds(c.at(n), limit) {
					ends = n
				}
			}
			if ends != c.ends {
				t.Errorf("the limit was exceeded at look %d, want %d", ends, c.ends)
			}
		})
	}
}
