package simd

import (
	"math"
	"unsafe"
)

// Taps says how the elements of an axis are weighted sums of those of another: output p is the sum
// of Weight[k] times element Index[k] for Start[p] ≤ k < Start[p+1], in this order, and 0 where
// there is none. Each product is rounded.
type Taps[T Float] struct {
	Start, Index []int32
	Weight       []T
}

// Outputs is the number of elements that m makes.
func (m *Taps[T]) Outputs() int { return len(m.Start) - 1 }

// mixed is about how many products a call of assembly makes.
const mixed = 1 << 14

// MixRows makes rows of so many columns out of rows of x, all of which m applies to:
// y[p·ldy + q] = Σ_k Weight[k]·x[Index[k]·ldx + q]. y and x do not overlap.
func MixRows[T Float](y []T, ldy int, x []T, ldx, columns int, m *Taps[T]) {
	rows := m.Outputs()
	done := 0
	if n := inVectors[T](columns); n > 0 {
		for p := 0; p < rows; {
			from := p
			for products := 0; p < rows && products < mixed; p++ {
				products += columns * int(1+m.Start[p+1]-m.Start[p])
			}
			mixRows(n, y[from*ldy:], ldy, x, ldx, m, from, p)
			if n < columns { // the last vector overlaps the one before it
				at := columns - Lanes[T]()
				mixRows(Lanes[T](), y[from*ldy+at:], ldy, x[at:], ldx, m, from, p)
			}
		}
		done = columns
	}
	if done == columns {
		return
	}
	for p := range rows {
		y := y[p*ldy:][:columns]
		a, b := m.Start[p], m.Start[p+1]
		if a == b {
			clear(y)
			continue
		}
		Scale(y, x[int(m.Index[a])*ldx:][:columns], m.Weight[a])
		for k := a + 1; k < b; k++ {
			AddScaled(y, x[int(m.Index[k])*ldx:][:columns], m.Weight[k])
		}
	}
}

// Across is a map of the elements of rows, ready for vectors.
type Across[T Float] struct {
	m            *Taps[T]
	reach        int // how many elements behind a row's begin are read
	blocks, taps int
	at           []int
	table        []T
}

// NewAcross prepares m.
func NewAcross[T Float](m *Taps[T]) *Across[T] {
	a := &Across[T]{m: m}
	lanes, outputs := Lanes[T](), m.Outputs()
	masks := traits[tier].masks
	if lanes == 0 || outputs == 0 || lanes > outputs && !masks {
		return a
	}
	for q := 0; q < outputs; {
		if !masks { // the last block overlaps the one before it
			q = min(q, outputs-lanes)
		}
		// A block ends where two vectors do not hold a tap's elements.
		n := min(lanes, outputs-q)
		for n > 1 && !a.fits(q, n) {
			n--
		}
		if n < lanes && !masks || n*4 < lanes && n < outputs-q {
			a.blocks = 0 // so few that they are faster one by one
			return a
		}
		a.add(q, n)
		q += n
	}
	return a
}

// most is the largest number of taps of n outputs from q on.
func (a *Across[T]) most(q, n int) (taps int) {
	for p := q; p < q+n; p++ {
		taps = max(taps, int(a.m.Start[p+1]-a.m.Start[p]))
	}
	return taps
}

// span is from the least to the greatest element that is tap t of n outputs from q on, one of which
// has that tap.
func (a *Across[T]) span(q, n, t int) (first, last int) {
	first, last = math.MaxInt, -1
	for p := q; p < q+n; p++ {
		if k := int(a.m.Start[p]) + t; k < int(a.m.Start[p+1]) {
			first, last = min(first, int(a.m.Index[k])), max(last, int(a.m.Index[k]))
		}
	}
	return first, last
}

func (a *Across[T]) fits(q, n int) bool {
	for t := range a.most(q, n) {
		if first, last := a.span(q, n, t); last-first >= 2*Lanes[T]() {
			return false
		}
	}
	return true
}

// add appends a block of n outputs from q on.
func (a *Across[T]) add(q, n int) {
	lanes := Lanes[T]()
	a.blocks++
	taps := a.most(q, n)
	a.taps = max(a.taps, taps)
	a.at = append(a.at, q, 1<<n-1, taps)
	for t := range taps {
		first, _ := a.span(q, n, t)
		a.at = append(a.at, first)
		a.reach = max(a.reach, first+2*lanes)
		at := len(a.table)
		a.table = append(a.table, make([]T, 2*lanes)...)
		for l := range n {
			if k := int(a.m.Start[q+l]) + t; k < int(a.m.Start[q+l+1]) {
				a.table[at+l] = laneNumber[T](int(a.m.Index[k]) - first)
				a.table[at+lanes+l] = a.m.Weight[k]
			}
		}
	}
}

// laneNumber is the number of a lane where there is a tap, as the bits of a T.
func laneNumber[T Float](lane int) (v T) {
	if unsafe.Sizeof(v) == 4 {
		*(*uint32)(unsafe.Pointer(&v)) = 1<<31 | uint32(lane)
	} else {
		*(*uint64)(unsafe.Pointer(&v)) = 1<<63 | uint64(lane)
	}
	return v
}

// InVectors says that MixAcross does not go element by element.
func (a *Across[T]) InVectors() bool {
	return a.blocks > 0 && (traits[tier].masks || unsafe.Sizeof(T(0)) == 4)
}

// MixAcross makes so many rows of outputs: y[r·ldy + p] = Σ_k Weight[k]·x[r·ldx + Index[k]]. y and
// x do not overlap. It does not read beyond x's length.
func MixAcross[T Float](rows int, y []T, ldy int, x []T, ldx int, a *Across[T]) {
	outputs := a.m.Outputs()
	inVectors := 0
	if a.blocks > 0 && len(x) >= a.reach {
		inVectors = min(rows, (len(x)-a.reach)/ldx+1)
	}
	step := max(1, mixed/(outputs*(1+a.taps)))
	for r := 0; r < inVectors; r += step {
		n := min(step, inVectors-r)
		_ = y[(r+n-1)*ldy+outputs-1]
		if !mixAcross(n, y[r*ldy:], ldy, x[r*ldx:], ldx, a) {
			inVectors = 0
		}
	}
	for r := inVectors; r < rows; r++ {
		a.row(y[r*ldy:][:outputs], x[r*ldx:])
	}
}

// row is MixAcross for one row.
func (a *Across[T]) row(y, x []T) {
	start, index, weight := a.m.Start, a.m.Index, a.m.Weight
	for p := range y {
		var sum T
		if k, end := start[p], start[p+1]; k < end {
			sum = weight[k] * x[index[k]]
			for k++; k < end; k++ {
				sum += T(weight[k] * x[index[k]])
			}
		}
		y[p] = sum
	}
}
