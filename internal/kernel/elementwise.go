package kernel

// ReLU is y = max(0, x); NaN stays NaN and −0 becomes +0. y may be x itself.
func ReLU[T Float](y, x []T) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

// Gate is dx = dy where x > 0 and 0 elsewhere: the derivative of ReLU at x or, what is the same, at its output. Where x is NaN, dx is dy's, as in PyTorch.
// dx may be dy itself.
func Gate[T Float](dx, dy, x []T) {
	for i, v := range x {
		if v <= 0 {
			dx[i] = 0
		} else {
			dx[i] = dy[i]
		}
	}
}

// Add is y += x.
func Add[T Float](y, x []T) {
	for i, v := range x {
		y[i] += v
	}
}
