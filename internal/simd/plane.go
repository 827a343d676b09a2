package simd

// A Plane3 says how nine weights, 3×3, slide over planes of H×W, with Top rows and Left columns of
// zeros before them, to planes of Rows×Cols. A negative Top or Left leaves out what lies before it.
type Plane3 struct {
	Rows, Cols, H, W, Top, Left int
	// Lanes is the distance of the sums of two taps that Gradient3 makes.
	Lanes int
	// masks are four for each vector of columns: of what is not padding under each of the three
	// columns of weights, and of what is stored.
	masks []uint16
}

// NewPlane3 returns nil where the tier has no kernels for it.
func NewPlane3[T Float](rows, cols, h, w, top, left int) *Plane3 {
	if !traits[tier].planes {
		return nil
	}
	lanes := Lanes[T]()
	d := &Plane3{Rows: rows, Cols: cols, H: h, W: w, Top: top, Left: left, Lanes: lanes}
	for q := 0; q < cols; q += lanes {
		var m [4]uint16
		for l := range min(lanes, cols-q) {
			m[3] |= 1 << l
			for s := range 3 {
				if i := q + l + s - left; 0 <= i && i < w {
					m[s] |= 1 << l
				}
			}
		}
		d.masks = append(d.masks, m[:]...)
	}
	return d
}

// SumTaps is y[r·ldy+q] (+)= Σ_t weights[t]·x[offsets[t] + r·ldx + q·step] for rows of cols. It may
// read, but not use, up to Slack elements behind x.
func SumTaps[T Float](rows, cols int, y []T, ldy int, x []T, ldx int, offsets []int, weights []T, step int, accumulate bool) {
	if sumTapsVector(rows, cols, y, ldy, x, ldx, offsets, weights, step, accumulate) {
		return
	}
	for r := range rows {
		row := y[r*ldy:][:cols]
		if !accumulate {
			clear(row)
		}
		for t, off := range offsets {
			v := weights[t]
			from := x[off+r*ldx:]
			if step == 1 {
				for q, u := range from[:cols] {
					row[q] += v * u
				}
				continue
			}
			i := 0
			for q := range row {
				row[q] += v * from[i]
				i += step
			}
		}
	}
}

// Dot is Σ_q d[q]·x[q·step], in four interleaved sums.
func Dot[T Float](d, x []T, step int) T {
	var s0, s1, s2, s3 T
	if step == 1 {
		x = x[:len(d)]
		for len(d) >= 4 && len(x) >= 4 {
			s0 += d[0] * x[0]
			s1 += d[1] * x[1]
			s2 += d[2] * x[2]
			s3 += d[3] * x[3]
			d, x = d[4:], x[4:]
		}
	}
	i := 0
	for _, v := range d {
		s0 += v * x[i]
		i += step
	}
	return (s0 + s2) + (s1 + s3)
}

// TakesTaps reports whether the tier has a kernel for TapChannels.
func TakesTaps() bool { return traits[tier].planes }

// TapChannelsNone is TapChannels for one output that meets no tap.
func TapChannelsNone[T Float](y, bias, cut []T) {
	tapChannels(1, len(y), y, 0, nil, 0, nil, nil, bias, cut)
}

// tapChannels is TapChannels in plain Go.
func tapChannels[T Float](outputs, channels int, y []T, ldy int, x []T, step int, taps []int, w, bias, cut []T) {
	for i := range outputs {
		row := y[i*ldy:][:channels]
		copy(row, bias)
		for t := 0; t < len(taps); t += 2 {
			from, by := x[i*step+taps[t]:][:channels], w[taps[t+1]:][:channels]
			for c, v := range from {
				row[c] += v * by[c]
			}
		}
		for c, v := range row {
			row[c] = min(cut[1], max(cut[0], v))
		}
	}
}
