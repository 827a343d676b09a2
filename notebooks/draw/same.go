package draw

import (
	"fmt"
	"math"
)

// Same draws a claim of equality: two matrices in one scale of colours, and their difference, which
// is white where they agree. It panics, and the cell fails, if they differ by more than rounding:
// by more than a millionth of the largest number.
func Same(first string, a any, second string, b any, opts ...Option) Figure {
	f, off := versus(first, a, second, b, opts)
	if !(off <= 1e-6) {
		panic(fmt.Sprintf("draw: %s and %s differ by %.2g of the largest number", first, second, off))
	}
	return f
}

// Differ draws two matrices of one size and their difference. It panics if they are the same.
func Differ(first string, a any, second string, b any, opts ...Option) Figure {
	f, off := versus(first, a, second, b, opts)
	if off <= 1e-6 {
		panic(fmt.Sprintf("draw: %s and %s are the same", first, second))
	}
	return f
}

func versus(first string, a any, second string, b any, opts []Option) (f Figure, off float64) {
	x, ok := matrix(a)
	y, ok2 := matrix(b)
	if !ok || !ok2 || len(x) != len(y) {
		panic(fmt.Sprintf("draw: %s and %s are not two matrices of one size", first, second))
	}
	top := 0.0
	diff := make([][]float64, len(x))
	for i := range x {
		if len(x[i]) != len(y[i]) {
			panic(fmt.Sprintf("draw: row %d has %d and %d numbers", i, len(x[i]), len(y[i])))
		}
		for j, v := range x[i] {
			top = max(top, math.Abs(v), math.Abs(y[i][j]))
			diff[i] = append(diff[i], v-y[i][j])
			off = max(off, math.Abs(v-y[i][j])) // NaN stays
		}
	}
	if top > 0 {
		off /= top
	}
	scale := append([]Option{Range(-top, top)}, opts...)
	return Row(Heat(first, x, scale...), Text("−"), Heat(second, y, scale...), Text("="), Heat("difference", diff, scale...)), off
}
