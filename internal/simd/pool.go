package simd

// The functions of this file take tiles of 2×2 of rows pairs of rows of a plane, width wide, which
// begins with them. Each pair has q outputs. They do all of them or, if q is less than a vector,
// none, and return how many they did.
//
// Without masks the last vector of a row overlaps the one before it.

// inVectors is how many of q elements or outputs vectors do: with masks, all of them.
func inVectors[T Float](q int) int {
	switch lanes := Lanes[T](); {
	case lanes == 0:
		return 0
	case traits[tier].masks:
		return q
	default:
		return q / lanes * lanes
	}
}

// PoolsInVectors reports whether MaxGather and MaxScatter are faster in vectors than one output at
// a time, with q outputs to a row.
func PoolsInVectors[T Float](q int) bool { return q >= 6 && inVectors[T](q) > 0 }

// MaxPool notes the winner of each tile, as its index in the plane, and its value.
func MaxPool[T Float](rows int, y []T, winner []int32, x []T, width int) int {
	q := len(y) / rows
	n := inVectors[T](q)
	for at, end := 0, n; n > 0; at, end = q-Lanes[T](), q {
		maxPool(rows, end-at, q, y[at:], winner[at:], x[2*at:], x[2*at+width:], uint32(2*at), uint32(width))
		if end == q {
			return q
		}
	}
	return 0
}

// MaxScatter is dx[winner[i]] = dy[i] and 0 elsewhere in the tiles. It is not ok where a winner
// lies outside its tile.
func MaxScatter[T Float](rows int, dx, dy []T, winner []int32, width int) (done int, ok bool) {
	q := len(dy) / rows
	n, inside := inVectors[T](q), uint32(1)
	for at, end := 0, n; n > 0; at, end = q-Lanes[T](), q {
		inside &= maxScatter(rows, end-at, q, dx[2*at:], dx[2*at+width:], dy[at:], winner[at:], uint32(2*at), uint32(width))
		if end == q {
			return q, inside == 1
		}
	}
	return 0, true
}

// MaxGather is y[i] = x[winner[i]]. It is not ok where a winner lies outside its tile.
func MaxGather[T Float](rows int, y, x []T, winner []int32, width int) (done int, ok bool) {
	q := len(y) / rows
	n, inside := inVectors[T](q), uint32(1)
	for at, end := 0, n; n > 0; at, end = q-Lanes[T](), q {
		inside &= maxGather(rows, end-at, q, y[at:], x[2*at:], x[2*at+width:], winner[at:], uint32(2*at), uint32(width))
		if end == q {
			return q, inside == 1
		}
	}
	return 0, true
}

// AvgPool is the mean of each tile.
func AvgPool[T Float](rows int, y, x []T, width int) int {
	q := len(y) / rows
	n := inVectors[T](q)
	for at, end := 0, n; n > 0; at, end = q-Lanes[T](), q {
		avgPool(rows, end-at, q, y[at:], x[2*at:], x[2*at+width:], uint32(width))
		if end == q {
			return q
		}
	}
	return 0
}

// AvgSpread is the adjoint of AvgPool: a quarter of dy for each element of a tile.
func AvgSpread[T Float](rows int, dx, dy []T, width int) int {
	q := len(dy) / rows
	n := inVectors[T](q)
	for at, end := 0, n; n > 0; at, end = q-Lanes[T](), q {
		avgSpread(rows, end-at, q, dx[2*at:], dx[2*at+width:], dy[at:], uint32(width))
		if end == q {
			return q
		}
	}
	return 0
}

// MaxTaps notes the winners and maxima of a row of windows, stride apart. taps are the distances of
// a window's taps from its begin, and x[first] is the first window's. It does all windows or none,
// and returns how many.
func MaxTaps[T Float](y []T, winner []int32, x []T, taps []int32, first, stride int) int {
	q := len(y)
	n := inVectors[T](q)
	if n == 0 || stride > 2 {
		return 0
	}
	_, _ = x[first+(q-1)*stride+int(taps[len(taps)-1])], winner[q-1]
	for at, end := 0, n; ; at, end = q-Lanes[T](), q {
		from := first + at*stride
		maxTaps(end-at, y[at:], winner[at:], x[from:], taps, from, stride)
		if end == q {
			return q
		}
	}
}
