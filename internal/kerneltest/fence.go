// Package kerneltest holds what tests of kernels share.
package kerneltest

import (
	"fmt"
	"runtime/debug"
)

// A Side says at which end of its pages an operand lies.
type Side bool

// Begin puts an operand's first element behind a page that may not be touched, End its last before
// one.
const (
	Begin Side = false
	End   Side = true
)

func (s Side) String() string {
	if s == End {
		return "end"
	}
	return "begin"
}

// A Fence holds operands on pages of their own, between pages that may be neither read nor written:
// a kernel that reaches beyond an operand, even if it only reads and does not use what it read,
// faults. On systems other than Linux operands are ordinary slices.
type Fence struct {
	side  Side
	pages [][]byte
}

// NewFence returns an empty fence whose operands lie at that side of their pages.
func NewFence(side Side) *Fence { return &Fence{side: side} }

// Catch runs f and returns what it panics with, a fault at a fenced page among them, as an error.
// Faults on other goroutines than the caller's end the process: a test has its kernels run on one
// thread.
func Catch(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kerneltest: %v", r)
			if a, ok := r.(interface{ Addr() uintptr }); ok {
				err = fmt.Errorf("kerneltest: %v, address %#x", r, a.Addr())
			}
		}
	}()
	f()
	return nil
}
