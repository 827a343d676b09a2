package kernel

// tinyProduct is the most multiply-adds of a product that plain loops finish about as soon as
// packing and vectors do, on a shallower stack.
const tinyProduct = 1 << 9

// plainGemm is Gemm as it is written down.
func plainGemm[T Float](c, a, b []T, m, n, k, lda, ldb, ldc int, transA, transB bool, alpha T, accumulate bool) {
	rowStep, colStep := lda, 1
	if transA {
		rowStep, colStep = 1, lda
	}
	for i := range m {
		a, c := a[i*rowStep:], c[i*ldc:][:n]
		if !accumulate {
			clear(c)
		}
		if transB {
			j := 0
			for ; j+1 < n; j += 2 { // two sums, so that one does not wait for the other
				var sum0, sum1 T
				b0, b1 := b[j*ldb:][:k], b[(j+1)*ldb:][:k]
				for l, v := range b0 {
					w := a[l*colStep]
					sum0 += w * v
					sum1 += w * b1[l]
				}
				c[j] += alpha * sum0
				c[j+1] += alpha * sum1
			}
			if j < n {
				var sum T
				for l, v := range b[j*ldb:][:k] {
					sum += a[l*colStep] * v
				}
				c[j] += alpha * sum
			}
			continue
		}
		for l := range k {
			v := alpha * a[l*colStep]
			for j, w := range b[l*ldb:][:n] {
				c[j] += v * w
			}
		}
	}
}
