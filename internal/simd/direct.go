package simd

// DirectGroup is the largest number of filters, of at most m, that Direct takes.
func DirectGroup(m int) int {
	for _, g := range [...]int{8, 6, 4, 3, 2, 1} {
		if g <= m {
			return g
		}
	}
	return 0
}

// DirectVectors is of how many vectors of outputs Direct takes m filters.
func DirectVectors(m int) int { return [...]int{1: 8, 2: 8, 3: 6, 4: 5, 6: 4, 8: 3}[m] }

// CanDirect reports whether Direct has kernels for neighbouring outputs that lie step apart in the
// source and spread apart in the destination.
func CanDirect(step, spread int) bool {
	return traits[tier].planes && (spread == 1 && step <= 2 || spread == 2 && step == 1)
}
