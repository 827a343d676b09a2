package kerneltest

import (
	"testing"
	"unsafe"
)

var sink int32

func TestFence(t *testing.T) {
	if !Fenced {
		t.Skip("no fences on this system")
	}
	for _, side := range []Side{Begin, End} {
		for _, n := range []int{1, 3, 1024, 1025, 5000} {
			f := NewFence(side)
			v := make([]int32, n)
			for i := range v {
				v[i] = int32(i)
			}
			s := Put(f, v)
			for i := range s {
				if s[i] != v[i] {
					t.Fatalf("%v, %d elements: element %d is %d, want %d", side, n, i, s[i], v[i])
				}
			}
			if err := Catch(func() { s[0], s[n-1] = 1, 2 }); err != nil {
				t.Errorf("%v, %d elements: %v", side, n, err)
			}
			beside := -1
			if side == End {
				beside = n
			}
			if err := Catch(func() { sink = *element(s, beside) }); err == nil {
				t.Errorf("%v, %d elements: element %d can be read", side, n, beside)
			}
			if err := Catch(func() { *element(s, beside) = 1 }); err == nil {
				t.Errorf("%v, %d elements: element %d can be written", side, n, beside)
			}
			f.Free()
		}
	}
}

// element is element i of s, which may lie outside.
func element(s []int32, i int) *int32 {
	return (*int32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), 4*i))
}
