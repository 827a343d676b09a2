package vm

import (
	"syscall"
	"unsafe"
)

// advise asks for large pages where the memory is long enough to hold some: a step walks through
// all of it, and small pages would cost it a look-up each. The system may refuse; nothing depends
// on it.
func advise[T any](s []T) {
	const page = 2 << 20
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
	first := -uintptr(unsafe.Pointer(unsafe.SliceData(bytes))) % page
	if uintptr(len(bytes)) < first+page {
		return
	}
	bytes = bytes[first:]
	_ = syscall.Madvise(bytes[:len(bytes)/page*page], syscall.MADV_HUGEPAGE)
}
