// Command agent runs in a machine of package harness and executes commands of a test on the host.
// It reads them from the console, one a line, and uses the machine's readers:
//
//	list           names the readers
//	expect KEY...  waits until there are just these readers, and exchanges with the card in each; a
//	               key is a part of a name
//	await KEY      waits until there is a reader with KEY, and exchanges with its card; there may be
//	               others
//	try KEY        exchanges once
//	visit KEY      makes each call with all readers without KEY, and prints their errors and how
//	               long the longest call took; errors are no failure
//	traffic KEY    exchanges with all readers at the same time, which may come and go, until one
//	               with KEY has answered
//	stats          what is in use, as names and numbers
//	quit           ends
//
// Each ends with a line "agent: ok ..." or "agent: failed: ...". An exchange sends data to a card
// that returns it (the echo applet of package tamaccid/ccid/sim/card) and checks each byte. No two
// exchanges have the same data.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"tamaccid/board/auto"
	"tamaccid/sclib"
)

const (
	// waitLimit is how long expect, await and try wait (policy): enumeration of a full hub, and a
	// few time-outs of a bad device.
	waitLimit = 40 * time.Second
	interval  = 50 * time.Millisecond // between two lists of readers (policy)
)

func main() {
	if err := run(); err != nil {
		fmt.Println("agent:", err)
		os.Exit(1)
	}
}

func run() error {
	debug.SetGCPercent(50) // less garbage in what stats counts
	sc, err := auto.Establish(auto.Options{Report: func(err error) { fmt.Println(err) }})
	if err != nil {
		return err
	}
	defer sc.Release()
	fmt.Println("agent: ready")
	for {
		line, err := readLine()
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "quit" {
			return nil
		}
		text, err := do(context.Background(), sc, words[0], words[1:])
		if err != nil {
			fmt.Printf("agent: failed: %v\n", err)
			continue
		}
		fmt.Printf("agent: ok %s\n", text)
	}
}

var errCommand = errors.New("no such command")

func do(ctx context.Context, sc *sclib.Context, command string, keys []string) (string, error) {
	switch {
	case command == "list" && len(keys) == 0:
		names, err := list(ctx, sc)
		return strings.Join(names, ", "), err
	case command == "expect":
		return expect(ctx, sc, keys)
	case command == "await" && len(keys) == 1:
		return await(ctx, sc, keys[0])
	case command == "try" && len(keys) == 1:
		return try(ctx, sc, keys[0])
	case command == "visit" && len(keys) == 1:
		return visit(ctx, sc, keys[0])
	case command == "traffic" && len(keys) == 1:
		return traffic(ctx, sc, keys[0])
	case command == "stats" && len(keys) == 0:
		return stats(), nil
	}
	return "", errCommand
}

// list returns the names of the readers. That there are none is no error.
func list(ctx context.Context, sc *sclib.Context) ([]string, error) {
	names, err := sc.ListReaders(ctx)
	if errors.Is(err, sclib.ErrNoReaders) {
		err = nil
	}
	return names, err
}

// assign finds for each key the one name that it is a part of. ok is false when a name or a key is
// left over.
func assign(names, keys []string) (found []string, ok bool) {
	for _, key := range keys {
		at := ""
		for _, name := range names {
			if strings.Contains(name, key) {
				if at != "" {
					return nil, false
				}
				at = name
			}
		}
		if at == "" {
			return nil, false
		}
		found = append(found, at)
	}
	return found, len(names) == len(keys)
}

func expect(ctx context.Context, sc *sclib.Context, keys []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		names, err := list(ctx, sc)
		if err != nil {
			return "", err
		}
		found, ok := assign(names, keys)
		if ok {
			for _, name := range found {
				if err := exchange(ctx, sc, name); err != nil {
					return "", fmt.Errorf("%s: %w", name, err)
				}
			}
			return strings.Join(found, ", "), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the readers are %q", names)
		case <-time.After(interval):
		}
	}
}

func await(ctx context.Context, sc *sclib.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		text, err := try(ctx, sc, key)
		if !errors.Is(err, sclib.ErrUnknownReader) {
			return text, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(interval):
		}
	}
}

func try(ctx context.Context, sc *sclib.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	names, err := list(ctx, sc)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if strings.Contains(name, key) {
			return name, exchange(ctx, sc, name)
		}
	}
	return "", fmt.Errorf("%w %s: the readers are %q", sclib.ErrUnknownReader, key, names)
}
