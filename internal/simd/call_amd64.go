//go:build amd64 && !noasm

package simd

import "unsafe"

// flag is 1 for true, as the assembly takes it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func p32[T Float](s []T) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(s))) }
func p64[T Float](s []T) *float64 { return (*float64)(unsafe.Pointer(unsafe.SliceData(s))) }
