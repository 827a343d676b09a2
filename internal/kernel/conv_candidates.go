package kernel

import (
	"slices"
	"sync"

	"github.com/convgrad/convgrad/internal/simd"
)

// A candidate is one algorithm of a convolution. It takes a convolution as a whole, or one
// correlation (see correlation), or the gradient of one group's filters: one pair of functions is
// set. An accepts function returns "", or the reason why the algorithm does not apply or pay.
// Reasons are constants, because a choice is made at every call. It may note in its argument what
// the run needs.
type candidate[T Float] struct {
	name string

	acceptsConv func(dir Direction, g Conv) string
	runConv     func(dir Direction, g Conv, o operands[T])

	acceptsPart func(p *correlation[T]) string
	runPart     func(p *correlation[T])
	runPair     func(p, q *correlation[T]) // two column phases of stride 2 at once, or nil

	acceptsGradient func(f *filterGradient[T]) string
	runGradient     func(f *filterGradient[T])
}

// newCandidates is the list of all algorithms, in the order of preference: the first that accepts
// runs.
func newCandidates[T Float]() []candidate[T] {
	return []candidate[T]{
		{name: "turned", acceptsConv: acceptsTurned[T], runConv: runTurned[T]},
		{name: "channels", acceptsConv: acceptsChannels, runConv: runChannels[T]},
		{name: "reference", acceptsConv: acceptsReference, runConv: runReference[T]},
		{name: "depthwise", acceptsConv: acceptsDepthwise, runConv: runDepthwise[T]},
		{name: "whole", acceptsConv: acceptsWhole, runConv: runWholeFilter[T]},
		{name: "images", acceptsPart: acceptsImages[T], runPart: (*correlation[T]).runImages},
		{name: "winograd", acceptsPart: acceptsWinograd[T], runPart: (*correlation[T]).runWinograd},
		{name: "lanes", acceptsPart: acceptsLanes[T], runPart: runLanes[T], runPair: runLanesPair[T]},
		{name: "rows", acceptsPart: acceptsRows[T], runPart: (*correlation[T]).runRows},
		{name: "direct", acceptsPart: acceptsDirect[T], runPart: runDirect[T]},
		{name: "panels", acceptsPart: acceptsPanels[T], runPart: (*correlation[T]).runTiles},
		{name: "winograd gradient", acceptsGradient: acceptsWinogradGradient[T], runGradient: (*filterGradient[T]).runWinograd},
		{name: "images gradient", acceptsGradient: acceptsImagesGradient[T], runGradient: (*filterGradient[T]).runImages},
		{name: "dots", acceptsGradient: acceptsDots[T], runGradient: (*filterGradient[T]).runDots},
		{name: "outer", acceptsGradient: acceptsOuter[T], runGradient: (*filterGradient[T]).run},
	}
}

// The list for each type. It is made at the first call: made when the program starts it would link
// every algorithm into programs that use the reference alone.
var (
	candidates32 []candidate[float32]
	candidates64 []candidate[float64]
	once32       sync.Once
	once64       sync.Once
)

func candidates[T Float]() []candidate[T] {
	if list, ok := any(&candidates32).(*[]candidate[T]); ok {
		once32.Do(func() { candidates32 = newCandidates[float32]() })
		return *list
	}
	once64.Do(func() { candidates64 = newCandidates[float64]() })
	return *any(&candidates64).(*[]candidate[T])
}

// operands are those of one of the directions: dst is y, dx or dw; a is x, dy or dy; b is w, w or
// x.
type operands[T Float] struct {
	dst, a, b, bias []T
	relu            bool
}

// runWhole runs the first candidate that accepts a convolution as a whole, and reports whether
// there is one.
func runWhole[T Float](dir Direction, g Conv, o operands[T]) bool {
	for i := range candidates[T]() {
		c := &candidates[T]()[i]
		if c.acceptsConv != nil && c.acceptsConv(dir, g) == "" {
			c.runConv(dir, g, o)
			return true
		}
	}
	return false
}

// choose is the first candidate that accepts the correlation. The last one always does.
func (p *correlation[T]) choose() *candidate[T] {
	p.depth = p.planes * len(p.rows) * len(p.cols)
	for i := range candidates[T]() {
		c := &candidates[T]()[i]
		if c.acceptsPart != nil && c.acceptsPart(p) == "" {
			return c
		}
	}
	panic("kernel: no candidate accepts a correlation")
}

// choose is the first candidate that accepts the gradient. The last one always does.
func (f *filterGradient[T]) choose() *candidate[T] {
	for i := range candidates[T]() {
		c := &candidates[T]()[i]
		if c.acceptsGradient != nil && c.acceptsGradient(f) == "" {
			return c
		}
	}
	panic("kernel: no candidate accepts a filter gradient")
}

// A Direction is one of the three products of a convolution.
type Direction int

// The directions: Forward, BackwardData and BackwardFilter.
const (
	ToOutput Direction = iota
	ToData
	ToFilter
)

// A Choice is a candidate and the reason why it does not run; "" where it does.
type Choice struct{ Name, WhyNot string }

// Explain lists the candidates of a direction in order, in the tier in use, up to the last that
// runs. With strides, the phases of BackwardData may take different candidates: each of them has an
// empty WhyNot, and the reasons of the others are those of the first phase.
func Explain[T Float](g Conv, dir Direction) []Choice {
	var list []Choice
	for _, c := range candidates[T]() {
		if c.acceptsConv != nil {
			list = append(list, Choice{c.name, c.acceptsConv(dir, g)})
			if list[len(list)-1].WhyNot == "" {
				return list
			}
		}
	}
	if dir == ToFilter {
		f := newFilterGradient[T](g)
		for _, c := range candidates[T]() {
			if c.acceptsGradient != nil {
				list = append(list, Choice{c.name, c.acceptsGradient(f)})
				if list[len(list)-1].WhyNot == "" {
					return list
				}
			}
		}
		return list
	}
	var parts []*correlation[T]
	if dir == ToOutput {
		p := newForward[T](g)
		parts = append(parts, &p)
	} else {
		for ph := range min(g.Rows.Stride, g.H) {
			rows := g.rowPhase(ph)
			for pw := range min(g.Cols.Stride, g.W) {
				if cols := g.colPhase(pw); len(rows.taps) > 0 && len(cols.taps) > 0 {
					parts = append(parts, newBackward[T](g, rows, cols))
				}
			}
		}
	}
	runs := map[string]bool{}
	for _, p := range parts {
		runs[p.choose().name] = true
	}
	last := len(list)
	for _, c := range candidates[T]() {
		if c.acceptsPart == nil || len(parts) == 0 {
			continue
		}
		choice := Choice{Name: c.name}
		if !runs[c.name] {
			// A later phase may have reasons where the first has none: it took an earlier
			// candidate.
			for _, p := range parts {
				if choice.WhyNot = c.acceptsPart(p); choice.WhyNot != "" {
					break
				}
			}
			if choice.WhyNot == "" {
				choice.WhyNot = "a candidate before it runs"
			}
		}
		list = append(list, choice)
		if choice.WhyNot == "" {
			last = len(list)
		}
	}
	return slices.Clip(list[:last])
}

func acceptsReference(_ Direction, g Conv) string {
	if !g.outlandish() {
		return "the padded image is in proportion"
	}
	return ""
}

func runReference[T Float](dir Direction, g Conv, o operands[T]) {
	switch dir {
	case ToOutput:
		RefForward(g, o.dst, o.a, o.b)
		finishOutput(g, o.dst, o.bias, o.relu)
	case ToData:
		RefBackwardData(g, o.dst, o.a, o.b)
	default:
		RefBackwardFilter(g, o.dst, o.a, o.b)
	}
}

func acceptsDepthwise(_ Direction, g Conv) string {
	if !g.depthwise() {
		return "not one input channel a group"
	}
	return ""
}

func runDepthwise[T Float](dir Direction, g Conv, o operands[T]) {
	switch dir {
	case ToOutput:
		depthwiseForward(g, o.dst, o.a, o.b, o.bias, o.relu)
	case ToData:
		depthwiseBackwardData(g, o.dst, o.a, o.b)
	default:
		depthwiseBackwardFilter(g, o.dst, o.a, o.b)
	}
}

func acceptsWinograd[T Float](p *correlation[T]) string {
	if !p.winograd {
		return "not permitted"
	}
	var pays bool
	if p.tile, pays = p.winogradTile(); p.tile == 0 {
		return "not 3×3 with stride 1, or fewer channels or filters than lanes"
	}
	if !pays {
		return "too few tiles for so many weights, or tiles mostly cut"
	}
	return ""
}

// acceptsLanes wants filters that fill their vectors, and sums that are worth the transposition.
func acceptsLanes[T Float](p *correlation[T]) string {
	s := simd.NewLaneShape[T]()
	switch {
	case s.Vectors > 0 && (p.srcLast || p.dstLast):
		return "" // the others read and write planes
	case s.Vectors == 0:
		return "no vectors in this tier"
	case p.m < s.Lanes:
		return "fewer filters than lanes"
	case p.depth < 32:
		return "fewer than 32 products a sum"
	case p.rowsPay(s):
		return "few filters, and rows that fill vectors"
	}
	return ""
}

func runLanes[T Float](p *correlation[T]) { runWide(p) }

func acceptsRows[T Float](p *correlation[T]) string {
	switch {
	case p.srcLast || p.dstLast:
		return "channels are last"
	case simd.CurrentTier() != simd.Generic:
		return "the tier has vectors"
	case p.m > 8:
		return "more than 8 filters"
	case p.outW < 8:
		return "rows of fewer than 8 outputs"
	case p.stepW != 1:
		return "the stride across is not 1"
	}
	return ""
}

func acceptsDirect[T Float](p *correlation[T]) string {
	p.kern = simd.NewTileShape[T]()
	switch {
	case p.srcLast || p.dstLast:
		return "channels are last"
	case !simd.CanDirect(p.stepW, p.dstCol):
		return "no kernel for the stride in this tier"
	case !p.preferDirect():
		return "gathering panels costs less"
	}
	return ""
}

func runDirect[T Float](p *correlation[T]) {
	p.direct = true
	p.runTiles()
}

func acceptsPanels[T Float](*correlation[T]) string { return "" }

func acceptsWinogradGradient[T Float](f *filterGradient[T]) string {
	if !f.g.Winograd {
		return "not permitted"
	}
	side, pays := f.winogradSide()
	if side == 0 {
		return "not 3×3 with stride 1, or fewer channels or filters than lanes"
	}
	if !pays {
		return "few channels or filters, too few tiles for so many weights, or tiles mostly cut"
	}
	return ""
}

func acceptsDots[T Float](f *filterGradient[T]) string {
	if f.g.Cols.Stride != 1 {
		return "the stride across is not 1"
	}
	if f.k*f.taps > 1<<11 {
		return "more than 2048 weights"
	}
	var ok bool
	if f.dots, ok = f.dotKernel(); !ok {
		return "tails lose more than outer products do"
	}
	return ""
}

func acceptsOuter[T Float](*filterGradient[T]) string { return "" }
