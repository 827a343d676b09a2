package verify

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/convgrad/convgrad/verify/internal/values"
)

// hint is the pattern of a gradient's mismatches: what a person would see in the two arrays side by
// side. It says nothing that few numbers could show by chance, and returns "" where it sees
// nothing.
func hint(shape []int, got, want []float64, bad []bool) string {
	n := len(got)
	if n < 2 {
		return ""
	}
	size := 0.0
	for i, v := range want {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		if math.IsNaN(got[i]) {
			return "it is NaN" + where(shape, bad, want)
		}
		size = max(size, math.Abs(v))
	}
	// Patterns are looked for to far less than the precision of the oracles: they are large things.
	close := func(a, b float64) bool { return math.Abs(a-b) <= 1e-4*size }
	same := func(at func(i int) (float64, bool)) bool {
		for i := range got {
			if v, ok := at(i); ok && !close(got[i], v) {
				return false
			}
		}
		return true
	}
	place := strings.TrimPrefix(where(shape, bad, want), " ")
	if same(func(i int) (float64, bool) { return want[i], true }) { // a small thing
		return place
	}
	enough := telling(want, size) == few
	if enough && same(func(int) (float64, bool) { return 0, true }) {
		return "it is zero everywhere"
	}
	if !enough || telling(got, size) < few {
		return place
	}
	if s := factor(got, want, same); s != "" {
		return s
	}
	d := len(shape)
	moved := func(to func(index []int) bool) func(i int) (float64, bool) {
		return func(i int) (float64, bool) {
			index := values.Index(i, shape)
			if !to(index) {
				return 0, false
			}
			k := 0
			for a, s := range shape {
				k = k*s + index[a]
			}
			return want[k], true
		}
	}
	for a := 0; a < d; a++ {
		for b := a + 1; b < d; b++ {
			if shape[a] == shape[b] && shape[a] > 1 && same(moved(func(x []int) bool { x[a], x[b] = x[b], x[a]; return true })) {
				return fmt.Sprintf("transposed: axes %d and %d are exchanged", a, b)
			}
		}
	}
	if d >= 2 && shape[d-1]*shape[d-2] > 1 && same(moved(func(x []int) bool {
		x[d-1], x[d-2] = shape[d-1]-1-x[d-1], shape[d-2]-1-x[d-2]
		return true
	})) {
		return "flipped by 180° in the last two axes"
	}
	for a := 0; a < d; a++ {
		if shape[a] > 1 && same(moved(func(x []int) bool { x[a] = shape[a] - 1 - x[a]; return true })) {
			return fmt.Sprintf("reversed along axis %d", a)
		}
	}
	for a := 0; a < d; a++ {
		for _, by := range []int{1, -1} {
			if shape[a] > 2 && same(moved(func(x []int) bool { x[a] -= by; return x[a] >= 0 && x[a] < shape[a] })) {
				return fmt.Sprintf("shifted by %+d along axis %d", by, a)
			}
		}
	}
	if place != "" {
		return place
	}
	if same(func(i int) (float64, bool) { return want[i] + got[0] - want[0], true }) {
		return fmt.Sprintf("%.6g is added to every element", got[0]-want[0])
	}
	return ""
}

// few numbers show any pattern by chance.
const few = 4

// telling is how many different numbers there are beside zeros, up to few.
func telling(v []float64, size float64) int {
	var seen []float64
	for _, x := range v {
		if math.Abs(x) > 1e-3*size && len(seen) < few && !slices.ContainsFunc(seen, func(y float64) bool {
			return math.Abs(x-y) <= 1e-3*size
		}) {
			seen = append(seen, x)
		}
	}
	return len(seen)
}

// factor sees a constant factor.
func factor(got, want []float64, same func(func(int) (float64, bool)) bool) string {
	gw, ww := 0.0, 0.0
	for i := range got {
		gw += got[i] * want[i]
		ww += want[i] * want[i]
	}
	if ww == 0 {
		return "it should be zero everywhere"
	}
	c := gw / ww
	if !same(func(i int) (float64, bool) { return c * want[i], true }) {
		return ""
	}
	if math.Abs(c+1) < 1e-4 {
		return "the sign is wrong"
	}
	for q := 2.0; q <= 16; q++ {
		if p := c * q; math.Abs(c-math.Round(c)) > 1e-4 && math.Abs(p-math.Round(p)) < 1e-7*math.Abs(p) {
			return fmt.Sprintf("a constant factor of %.0f/%.0f", math.Round(p), q)
		}
	}
	return fmt.Sprintf("a constant factor of %.6g", c)
}

// where sees that the mismatches are in one place only. The answer begins with a space. An element
// that should be zero, and is, shows nothing of the other places.
func where(shape []int, bad []bool, want []float64) string {
	d := len(shape)
	count := 0
	for _, b := range bad {
		if b {
			count++
		}
	}
	if count == 0 || count == len(bad) {
		return ""
	}
	for a := 0; a < d; a++ {
		if shape[a] < 2 {
			continue
		}
		only, right := -1, map[int]bool{}
		for i, b := range bad {
			switch x := values.Index(i, shape)[a]; {
			case !b && want[i] != 0:
				right[x] = true
			case b && only < 0:
				only = x
			case b && only != x:
				only = math.MaxInt
			}
		}
		if delete(right, only); only != math.MaxInt && len(right) == shape[a]-1 && count > 1 {
			return fmt.Sprintf(" only at index %d of axis %d", only, a)
		}
	}
	if d >= 3 && shape[d-1] > 4 && shape[d-2] > 4 && count >= few {
		border := true
		for i, b := range bad {
			x := values.Index(i, shape)
			if b && x[d-1] > 0 && x[d-1] < shape[d-1]-1 && x[d-2] > 0 && x[d-2] < shape[d-2]-1 {
				border = false
				break
			}
		}
		if border {
			return " only on the border of the last two axes"
		}
	}
	return ""
}
