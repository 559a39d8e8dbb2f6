//go:build linux && !tamago

package linux

import (
	"bytes"
	"fmt"
)

// Modes of the archive's members (stat(2)).
const (
	modeProgram = 0o100755
	modeFile    = 0o100644
	modeFolder  = 0o040755
)

const (
	magic   = "070701"     // "new ASCII" format
	trailer = "TRAILER!!!" // the name of the member that ends an archive
	align   = 4
)

// archive is a cpio archive as the kernel unpacks it (buffer-format).
type archive struct {
	buf  bytes.Buffer
	node int
}

func (a *archive) add(name string, mode int, data []byte) {
	a.node++
	a.buf.WriteString(magic)
	// inode, mode, uid, gid, nlink, mtime, filesize, dev major, minor, rdev major, minor, namesize,
	// chksum
	for _, field := range []int{a.node, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(&a.buf, "%08X", field)
	}
	a.buf.WriteString(name)
	a.buf.WriteByte(0)
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.buf.Len()%align != 0 {
		a.buf.WriteByte(0)
	}
}

func (a *archive) end() []byte {
	a.node = -1
	a.add(trailer, 0, nil)
	return a.buf.Bytes()
}
