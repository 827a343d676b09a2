package draw

import (
	"fmt"
	"reflect"
)

// Line puts figures beside each other, from a short notation:
//
//	draw.Line("o", o, "⊗", "w", w, draw.Digits(1), "=", "x", x)
//
// A matrix is drawn as a Heat, with the string before it as its title and the options after it; a
// string before anything else stands for itself. An Option that comes first holds for all matrices.
// A matrix is a [][]float64 or a type made of it.
func Line(items ...any) Figure {
	var figs []Figure
	var all []Option
	for i := 0; i < len(items); i++ {
		switch v := items[i].(type) {
		case Option:
			all = append(all, v) // those behind a matrix are taken with it
		case Figure:
			figs = append(figs, v)
		case string:
			if i+1 < len(items) {
				if m, ok := matrix(items[i+1]); ok {
					i++
					opts := all[:len(all):len(all)]
					for i+1 < len(items) {
						o, ok := items[i+1].(Option)
						if !ok {
							break
						}
						opts = append(opts, o)
						i++
					}
					figs = append(figs, Heat(v, m, opts...))
					continue
				}
			}
			figs = append(figs, Text(v))
		default:
			panic(fmt.Sprintf("draw: item %d of a line is a %T, want a string, a matrix behind a string, an Option or a Figure", i, v))
		}
	}
	return Row(figs...)
}

// Show displays a line as the cell's output.
func Show(items ...any) { Line(items...).Show() }

func matrix(v any) ([][]float64, bool) {
	t := reflect.TypeFor[[][]float64]()
	r := reflect.ValueOf(v)
	if !r.IsValid() || !r.CanConvert(t) {
		return nil, false
	}
	return r.Convert(t).Interface().([][]float64), true
}
