//go:build amd64 && !noasm

package kernel

func copyRowsVector[T Float](_ []T, _ int, _ []T, _, _, _ int) bool               { return false }
func gatherVector[T Float](_ []T, _ int, _ []T, _ []int, _ []segment, _ int) bool { return false }
func finishVector[T Float](_, _ []T, _ T, _ bool) int                             { return 0 }
func sumTapsVector[T Float](_, _ []T, _ []int, _ []T, _ int) bool                 { return false }

func runOuter[T Float](s microKernelShape, rows, n, width int, x []T, offsets []int, xStep, xRow int, d, c []T, accumulate bool) {
	if s.tier == Generic {
		outerGo2x4(rows, n, x, offsets, xStep, xRow, d, c, accumulate)
		return
	}
	if !accumulate {
		clear(c[:s.mr*width])
	}
	for i, off := range offsets {
		to := c[i*width:][:width]
		for r := range rows {
			for q := range n {
				v := x[off+r*xRow+q*xStep]
				for j, u := range d[(r*n+q)*width:][:width] {
					to[j] += v * u
				}
			}
		}
	}
}
