package kernel

// MatMul is c = op(a)·op(b) (+ c where accumulate is set), c m×n, op(a) m×k, op(b) k×n, all row-major with no gaps; op transposes where its flag is set, so that
// a is then stored k×m and b n×k.
func MatMul[T Float](c, a, b []T, m, n, k int, transA, transB, accumulate bool) {
	if !accumulate {
		clear(c[:m*n])
	}
	for i := range m {
		for j := range n {
			var s T
			for l := range k {
				ai, bi := i*k+l, l*n+j
				if transA {
					ai = l*m + i
				}
				if transB {
					bi = j*k + l
				}
				s += a[ai] * b[bi]
			}
			c[i*n+j] += s
		}
	}
}

// AddRow is y[i,j] += b[j] for the m rows of y.
func AddRow[T Float](y, b []T, m int) {
	n := len(b)
	for i := range m {
		Add(y[i*n:][:n], b)
	}
}

// SumRows is b[j] = Σ_i y[i,j], the adjoint of AddRow.
func SumRows[T Float](b, y []T, m int) {
	clear(b)
	for i := range m {
		Add(b, y[i*len(b):][:len(b)])
	}
}
