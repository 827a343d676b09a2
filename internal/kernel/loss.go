package kernel

import "math"

// Softmax is y[i,j] = exp(x[i,j]−max_j)/Σ_j exp(x[i,j]−max_j) for each of the m rows of x.
func Softmax[T Float](y, x []T, m int) {
	n := len(x) / m
	for i := range m {
		row, out := x[i*n:][:n], y[i*n:][:n]
		top := row[0]
		for _, v := range row {
			top = max(top, v)
		}
		var sum float64
		for j, v := range row {
			e := math.Exp(float64(v) - float64(top))
			out[j] = T(e)
			sum += e
		}
		for j := range out {
			out[j] = T(float64(out[j]) / sum)
		}
	}
}

// CrossEntropy returns Σ_i log Σ_j exp(x[i,j]) − x[i,label_i], the sum of the m rows' −log softmax at their labels, and never overflows for finite x.
// Labels must be in [0, n).
func CrossEntropy[T Float](x []T, labels []int, m int) float64 {
	n := len(x) / m
	var total float64
	for i := range m {
		row := x[i*n:][:n]
		top := row[0]
		for _, v := range row {
			top = max(top, v)
		}
		var sum float64
		for _, v := range row {
			sum += math.Exp(float64(v) - float64(top))
		}
		total += math.Log(sum) - (float64(row[labels[i]]) - float64(top))
	}
	return total
}

// CrossEntropyBackward is dx = scale·(softmax(x) − onehot(labels)).
func CrossEntropyBackward[T Float](dx, x []T, labels []int, m int, scale T) {
	n := len(x) / m
	Softmax(dx, x, m)
	for i := range m {
		dx[i*n+labels[i]] -= 1
	}
	for i := range dx {
		dx[i] *= scale
	}
}
