package lab

import (
	"fmt"
	"math"
	"strings"
)

// An exercise asks for some numbers. Its answer is computed by running what it asks about; a wrong
// answer that readers tend to give has a sentence that says what is wrong with it.
type exercise struct {
	id, question string
	answer       func() []float64
	because      string
	wrong        []mistake
}

type mistake struct {
	answer []float64
	says   string
}

// num is an answer of one or more numbers.
func num(v ...float64) []float64 { return v }

// Exercise asks the question with the id. With a prediction, it says whether that is right, and
// what is wrong with it if not: lab.Exercise("1.1", 4, 3, 2, 1).
func Exercise(id string, prediction ...float64) { fmt.Println(judge(id, prediction...)) }

func judge(id string, prediction ...float64) string {
	for _, e := range exercises {
		if e.id != id {
			continue
		}
		want := e.answer()
		if len(prediction) == 0 {
			hint := "your number"
			if len(want) > 1 {
				hint = fmt.Sprintf("your %d numbers", len(want))
			}
			return fmt.Sprintf("Exercise %s. %s\nPredict, then run lab.Exercise(%q, %s).", id, e.question, id, hint)
		}
		given := list(prediction)
		if len(prediction) != len(want) {
			return fmt.Sprintf("✗ Not %s: the question asks for %d, in this order, row by row.", given, len(want))
		}
		at := differ(prediction, want)
		if at < 0 {
			return fmt.Sprintf("✓ %s is right: %s", given, e.because)
		}
		for _, w := range e.wrong {
			if len(w.answer) == len(want) && differ(prediction, w.answer) < 0 {
				return fmt.Sprintf("✗ Not %s: %s", given, w.says)
			}
		}
		if len(want) == 1 {
			return fmt.Sprintf("✗ Not %s. Write out what it is a sum of, then try again.", given)
		}
		return fmt.Sprintf("✗ Not %s. The first number that is wrong is number %d, %v. Write out what it is a sum of, then try again.", given, at+1, prediction[at])
	}
	return "There is no exercise " + id + "."
}

// differ is the first place at which two answers differ, or −1.
func differ(a, b []float64) int {
	for i := range b {
		if !(math.Abs(a[i]-b[i]) <= 1e-9*math.Max(1, math.Abs(b[i]))) {
			return i
		}
	}
	return -1
}

func list(v []float64) string {
	var s []string
	for _, x := range v {
		s = append(s, fmt.Sprint(x))
	}
	return strings.Join(s, ", ")
}
