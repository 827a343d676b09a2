package kernel

// Float is what the fast kernels compute in.
type Float interface{ float32 | float64 }

// Forward is y = x ⋆ w + b, then max(0, ·) where relu is set; b may be nil.
func Forward[T Float](g Conv, y, x, w, b []T, relu bool) {
	RefForward(g, y, x, w)
	if b != nil {
		RefAddBias(g, y, b)
	}
	if relu {
		ReLU(y, y)
	}
}

// BackwardData is dx, the derivative of Forward by x applied to dy.
func BackwardData[T Float](g Conv, dx, dy, w []T) { RefBackwardData(g, dx, dy, w) }

// BackwardFilter is dw, the derivative of Forward by w applied to dy.
func BackwardFilter[T Float](g Conv, dw, dy, x []T) { RefBackwardFilter(g, dw, dy, x) }

// BackwardBias is db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q].
func BackwardBias[T Float](g Conv, db, dy []T) { RefBackwardBias(g, db, dy) }
