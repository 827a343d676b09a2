package kerneltest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Fenced reports whether this system has fences.
const Fenced = true

// Put copies v, which is not empty, into a fence.
func Put[T any](f *Fence, v []T) []T {
	page := unix.Getpagesize()
	size := len(v) * int(unsafe.Sizeof(v[0]))
	inside := (size + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, inside+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	f.pages = append(f.pages, b)
	for _, p := range [][]byte{b[:page], b[page+inside:]} {
		if err := unix.Mprotect(p, unix.PROT_NONE); err != nil {
			panic(err)
		}
	}
	at := page
	if f.side == End {
		at += inside - size
	}
	s := unsafe.Slice((*T)(unsafe.Pointer(&b[at])), len(v))
	copy(s, v)
	return s
}

// Free gives the pages back; operands may not be used any more.
func (f *Fence) Free() {
	for _, b := range f.pages {
		if err := unix.Munmap(b); err != nil {
			panic(err)
		}
	}
	f.pages = nil
}
