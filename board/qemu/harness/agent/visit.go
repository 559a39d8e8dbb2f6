package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// appearance is how long a visit waits for a reader (policy: a bus driver that polls its ports once
// a second, and an enumeration).
const appearance = 3 * time.Second

// visitor measures the time of calls.
type visitor struct {
	longest time.Duration
	name    string   // of the longest call
	results []string // one a call
}

// call makes one call and notes its time and its error, which a hostile reader may cause.
func (v *visitor) call(name string, f func() error) {
	began := time.Now()
	err := f()
	if took := time.Since(began); took > v.longest {
		v.longest, v.name = took, name
	}
	if err != nil {
		v.results = append(v.results, fmt.Sprintf("%s: %v;", name, err))
	}
}

// visit makes each call with all readers except for the one whose name has a key.
func visit(ctx context.Context, sc *sclib.Context, key string) (string, error) {
	var found []string
	var v visitor
	for end := time.Now().Add(appearance); len(found) == 0 &&
		time.Now().Before(end); time.Sleep(interval) {
		var names []string
		var err error
		v.call("list", func() error {
			names, err = list(ctx, sc)
			return err
		})
		if err != nil {
			return "", err
		}
		for _, name := range names {
			if !strings.Contains(name, key) {
				found = append(found, name)
			}
		}
	}
	for _, name := range found[:min(len(found), maxVisited)] {
		v.reader(ctx, sc, name)
	}
	return fmt.Sprintf("readers=%d longest=%v (%s) %.400s", len(found),
		v.longest.Round(time.Millisecond), v.name,
		strings.Join(v.results, " ")), nil
}

// maxVisited bounds the slots of one visit (policy).
const maxVisited = 4

// reader makes each call with one reader.
func (v *visitor) reader(ctx context.Context, sc *sclib.Context, name string) {
	var k *sclib.Card
	v.call("direct", func() (err error) {
		k, err = sc.Connect(ctx, name, sclib.ShareDirect, sclib.ProtocolUndefined)
		return err
	})
	if k != nil {
		v.call("status", func() error { _, err := k.Status(ctx); return err })
		v.call("features", func() error { _, err := k.Features(ctx); return err })
		v.call("vendor", func() error {
			_, err := k.GetAttrib(ctx, sclib.AttrVendorName)
			return err
		})
		v.call("release", func() error { return k.Disconnect(sclib.LeaveCard) })
	}
	k = nil
	v.call("connect", func() (err error) {
		k, err = sc.Connect(ctx, name, sclib.ShareExclusive, sclib.ProtocolAny)
		return err
	})
	if k == nil {
		return
	}
	v.call("transmit", func() error {
		_, err := transmit(ctx, k, iso7816.Select(echo))
		return err
	})
	v.call("transmit again", func() error {
		_, err := transmit(ctx, k, iso7816.Select(echo))
		return err
	})
	v.call("disconnect", func() error { return k.Disconnect(sclib.UnpowerCard) })
}
