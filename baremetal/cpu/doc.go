// Package cpu holds what processors of every architecture have in common. The folders below, one
// per architecture, hold what TamaGo's CPU packages do not offer on the runtime overlay.
//
// Nothing here allocates, locks or blocks: the runtime's hooks (package runtime/goos) may call it.
package cpu
