package simd

// A DotShape is a micro-kernel of Dots: so many filters by so many taps.
type DotShape struct{ Filters, Taps int }

// DotShapes lists the micro-kernels of the tier.
func DotShapes() []DotShape { return traits[tier].dots }
