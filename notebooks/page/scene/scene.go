// Package scene holds the scenes of the page: functions from a state to what the reader sees.
//
// A state is a few short strings. They come from the address of the page and go back into it.
// A scene computes every number, region, winner and verdict from its state: with the reference
// loops of internal/kernel, and formulas with the article's exact arithmetic of internal/exact. It
// writes the result as HTML. The same functions write the first states into the static page and,
// compiled to WebAssembly, answer each click in the browser.
package scene

import (
	"fmt"
	"html"
	"sort"
	"strconv"
	"strings"

	"github.com/convgrad/convgrad/internal/exact"
	"github.com/convgrad/convgrad/internal/kernel"
)

// What the scenes compute with. Tests replace these by planted mistakes.
var (
	forward        = kernel.RefForward[int]
	backwardData   = kernel.RefBackwardData[int]
	backwardFilter = kernel.RefBackwardFilter[int]
	reach          = kernel.Window.Reach
	winners        = kernel.RefMaxWinners[int]
	correlation    = exact.CrossCorrelation // Eq. 1
	convolution    = exact.Convolution      // Eq. 2
	turned         = exact.Rot180
)

// A Scene is one section of the page.
type Scene struct {
	ID       string
	Title    string
	Settles  string // the readers' questions
	Equation string // in TeX; \\\\ begins another line
	keys     []string
	first    map[string]string // the state in which the scene opens
	draw     func(s *stage)
}

// A State maps scenes to the keys that differ from the scene's first state.
type State map[string]map[string]string

// A stage is a scene being drawn: it reads the state and collects HTML.
type stage struct {
	strings.Builder
	scene   *Scene
	values  map[string]string
	playing bool
	say     string // what a screen reader announces
}

// ByID returns the scene with the id, or nil.
func ByID(id string) *Scene {
	for _, s := range Scenes {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// Parse reads a state from an address: scenes joined by "/", each "id?key=value&key=value".
// Parse ignores whatever it does not know.
func Parse(address string) State {
	st := State{}
	for _, part := range strings.Split(address, "/") {
		id, query, _ := strings.Cut(part, "?")
		if ByID(id) != nil {
			st.Set(id, query)
		}
	}
	return st
}

// Set changes keys of one scene; changes is "key=value&key=value".
func (st State) Set(id, changes string) {
	sc := ByID(id)
	if sc == nil {
		return
	}
	for _, pair := range strings.Split(changes, "&") {
		key, value, ok := strings.Cut(pair, "=")
		if _, known := sc.first[key]; !ok || !known || len(value) > 1000 || !plain(value) {
			continue
		}
		if st[id] == nil {
			st[id] = map[string]string{}
		}
		if st[id][key] = value; value == sc.first[key] {
			delete(st[id], key)
		}
	}
}

// plain reports whether a value needs no escape in an address.
func plain(v string) bool {
	for _, c := range v {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}

// Address is the inverse of Parse. It names the scene last, so that the page can scroll to it.
func (st State) Address(last string) string {
	var parts []string
	one := func(sc *Scene) {
		var pairs []string
		for _, k := range sc.keys {
			if v, ok := st[sc.ID][k]; ok {
				pairs = append(pairs, k+"="+v)
			}
		}
		part := sc.ID
		if len(pairs) > 0 {
			part += "?" + strings.Join(pairs, "&")
		}
		parts = append(parts, part)
	}
	for _, sc := range Scenes {
		if sc.ID != last && len(st[sc.ID]) > 0 {
			one(sc)
		}
	}
	if sc := ByID(last); sc != nil {
		one(sc)
	}
	return strings.Join(parts, "/")
}

// Render draws a scene. say is the sentence for the live region.
func Render(id string, st State) (body, say string) {
	sc := ByID(id)
	if sc == nil {
		return "", ""
	}
	s := &stage{scene: sc, values: st[id]}
	sc.draw(s)
	if s.playing {
		s.f(`</div>`)
	}
	return s.String(), s.say
}

func (s *stage) get(key string) string {
	if v, ok := s.values[key]; ok {
		return v
	}
	return s.scene.first[key]
}

// num reads an integer between lo and hi; anything else counts as the nearest of them.
func (s *stage) num(key string, lo, hi int) int {
	v, err := strconv.Atoi(s.get(key))
	if err != nil {
		v, _ = strconv.Atoi(s.scene.first[key])
	}
	return max(lo, min(hi, v))
}

// nums reads n integers from −9 to 9. A list of another length counts as the first state's.
func (s *stage) nums(key string, n int) []int {
	for _, text := range []string{s.get(key), s.scene.first[key]} {
		var v []int
		for _, f := range strings.Split(text, ".") {
			k, err := strconv.Atoi(f)
			if err != nil {
				break
			}
			v = append(v, max(-9, min(9, k)))
		}
		if len(v) == n {
			return v
		}
	}
	return make([]int, n)
}

func list(v []int) string {
	var f []string
	for _, k := range v {
		f = append(f, strconv.Itoa(k))
	}
	return strings.Join(f, ".")
}

// shown reports whether the reader has predicted (or asked to be shown).
func (s *stage) shown() bool { return s.get("g") != "" }

// set writes a change of keys for an element. After a prediction, a change of the state keeps the
// results in sight but drops the prediction, which was about the state before.
func (s *stage) set(pairs ...any) string {
	var f []string
	for i := 0; i < len(pairs); i += 2 {
		f = append(f, fmt.Sprintf("%v=%v", pairs[i], pairs[i+1]))
	}
	if s.shown() {
		f = append(f, "g=show")
	}
	return strings.Join(f, "&")
}

func (s *stage) f(format string, a ...any) { fmt.Fprintf(&s.Builder, format, a...) }

// minus writes numbers with the sign − instead of a hyphen.
func minus(v any) string { return strings.ReplaceAll(fmt.Sprint(v), "-", "−") }

// text writes a sentence with − for every hyphen before a digit.
func text(format string, a ...any) string {
	t := fmt.Sprintf(format, a...)
	var b strings.Builder
	for i, r := range t {
		if r == '-' && i+1 < len(t) && t[i+1] >= '0' && t[i+1] <= '9' {
			r = '−'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// why writes the sentence under the scene, which is also announced.
func (s *stage) why(format string, a ...any) {
	t := text(format, a...)
	s.f(`<p class="why">%s</p>`, html.EscapeString(t))
	if s.say == "" {
		s.say = t
	}
}

func (s *stage) note(format string, a ...any) {
	s.f(`<p class="note">%s</p>`, html.EscapeString(text(format, a...)))
}

// A choice is an answer to a prediction, and what is wrong with it.
type choice struct{ text, why string }

// ask puts a question; the first choice is the right one. It returns whether results may be seen.
func (s *stage) ask(question, because string, right string, wrong ...choice) bool {
	all := []choice{{right, ""}}
	for _, c := range wrong {
		known := false
		for _, d := range all {
			known = known || c.text == d.text
		}
		if !known {
			all = append(all, c)
		}
	}
	sort.SliceStable(all, func(a, b int) bool {
		x, ex := strconv.Atoi(strings.ReplaceAll(all[a].text, "−", "-"))
		y, ey := strconv.Atoi(strings.ReplaceAll(all[b].text, "−", "-"))
		if ex == nil && ey == nil {
			return x < y
		}
		return all[a].text < all[b].text
	})
	s.f(`<div class="ask" role="group" aria-label="Prediction"><p><b>Predict.</b> %s</p>`, html.EscapeString(text("%s", question)))
	g := s.get("g")
	var verdict string
	for k, c := range all {
		mark := ""
		if g == strconv.Itoa(k) {
			if c.text == right {
				mark = "✓ "
				verdict = fmt.Sprintf("✓ %s is right: %s", c.text, because)
			} else {
				mark = "✗ "
				verdict = fmt.Sprintf("✗ Not %s: %s It is %s: %s", c.text, c.why, right, because)
			}
		}
		s.button("g"+strconv.Itoa(k), mark+c.text, fmt.Sprintf("g=%d", k), mark != "")
	}
	if s.shown() {
		s.button("again", "Predict again", "g=", false)
	} else {
		s.button("show", "Just show me", "g=show", false)
	}
	if verdict != "" {
		verdict = text("%s", verdict)
		s.f(`<p class="verdict">%s</p>`, html.EscapeString(verdict))
		s.say = verdict
	}
	s.f(`</div>`)
	return s.shown()
}

func (s *stage) button(id, label, set string, pressed bool) {
	p := ""
	if pressed {
		p = ` aria-pressed="true"`
	}
	s.f(`<button type="button" data-id="%s" data-set="%s"%s>%s</button>`,
		id, html.EscapeString(set), p, html.EscapeString(text("%s", label)))
}

// options is a row of buttons, one of which is pressed. Each option is value, label.
func (s *stage) options(label, key string, options ...string) {
	s.f(`<div class="options" role="group" aria-label="%s"><span>%s</span>`, html.EscapeString(label), html.EscapeString(label))
	for i := 0; i < len(options); i += 2 {
		now := s.get(key) == options[i]
		l := options[i+1]
		if now {
			l = "● " + l
		}
		s.button(key+options[i], l, s.set(key, options[i]), now)
	}
	s.f(`</div>`)
}

// A grid is a matrix as the reader sees it.
type grid struct {
	id, caption string
	rows, cols  int
	v           []int
	cell        func(i, j int) string // instead of v
	sub         func(i, j int) string // small letters below the number
	class       func(i, j int) string // q (hatched), f (framed), win (★), on (a drawn pixel)
	set         func(i, j int) string // a click's change of state; nil: only to look at
	at          [2]int                // the selected cell
	toggles     bool                  // arrow keys move without a click
	pressed     func(i, j int) bool   // for toggles
	hidden      bool                  // show ? for the numbers
	small       bool
	from        [2]int // the index of the first cell
}

func within(i, j, i0, i1, j0, j1 int) bool { return i0 <= i && i < i1 && j0 <= j && j < j1 }

func (s *stage) grid(g grid) {
	role, follow := "", ""
	if g.set != nil {
		role = ` role="grid"`
		if !g.toggles {
			follow = ` data-follow`
		}
	}
	size := ""
	if g.small {
		size = ` class="small"`
	}
	if g.from != [2]int{} { // the style sheet counts from one less
		size += fmt.Sprintf(` style="--i:%d;--j:%d"`, g.from[0]-1, g.from[1]-1)
	}
	s.f(`<figure><figcaption id="%s-%s">%s</figcaption><table%s%s%s data-grid="%s" aria-labelledby="%s-%s"><tbody>`,
		s.scene.ID, g.id, html.EscapeString(g.caption), role, follow, size, g.id, s.scene.ID, g.id)
	for i := range g.rows {
		if g.set != nil {
			s.f(`<tr role="row">`)
		} else {
			s.f(`<tr>`)
		}
		for j := range g.cols {
			t, class, said := "", "", ""
			switch {
			case g.hidden:
				t = "?"
			case g.cell != nil:
				t = g.cell(i, j)
			default:
				t = minus(g.v[i*g.cols+j])
			}
			if g.class != nil {
				class = g.class(i, j)
			}
			for _, c := range strings.Fields(class) {
				said += map[string]string{"q": ", marked", "win": ", winner", "f": ", in the frame", "on": ", drawn"}[c]
			}
			s.f(`<td class="%s" data-id="%s-%d-%d"`, class, g.id, i, j)
			sub := ""
			if g.sub != nil && !g.hidden {
				sub = g.sub(i, j)
			}
			if g.set != nil {
				here := g.at == [2]int{i, j}
				tab := -1
				if here {
					tab = 0
				}
				chosen := here
				if g.toggles {
					chosen = g.pressed(i, j)
				}
				spoken := strings.TrimSpace(t + " " + sub)
				s.f(` role="gridcell" tabindex="%d" aria-selected="%t" aria-label="row %d, column %d: %s%s" data-set="%s"`,
					tab, chosen, i+g.from[0], j+g.from[1], html.EscapeString(spoken), said, html.EscapeString(g.set(i, j)))
			}
			s.f(`><span class="n">%s</span>`, html.EscapeString(t))
			if sub != "" {
				s.f(` <small>%s</small>`, html.EscapeString(sub))
			}
			if g.set == nil && said != "" {
				s.f(`<span class="sr">%s</span>`, said)
			}
			s.f(`</td>`)
		}
		s.f(`</tr>`)
	}
	s.f(`</tbody></table></figure>`)
}

// row begins a row of grids. The grids and the sentence below them are one block, so that the
// sentence can stay in view on a phone while the grids are.
func (s *stage) row() {
	if !s.playing {
		s.f(`<div class="play">`)
		s.playing = true
	}
	s.f(`<div class="row">`)
}

func (s *stage) endRow() { s.f(`</div>`) }

// geometry is a convolution of small matrices; the scenes' sizes are constants, so it has no error.
func geometry(c, h, w, k, r, q, stride, pad int, flip bool) kernel.Conv {
	g, err := kernel.NewConv(1, c, h, w, k, r, q, 1, kernel.Spatial{
		StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1,
		PadTop: pad * (r - 1), PadBottom: pad * (r - 1), PadLeft: pad * (q - 1), PadRight: pad * (q - 1),
	}, flip)
	if err != nil {
		panic(err) // the sizes are constants of this package
	}
	return g
}

// product writes (a)(b), with brackets only around what has a sign.
func product(a, b int) string {
	p := func(v int) string {
		if v < 0 {
			return fmt.Sprintf("(%d)", v)
		}
		return strconv.Itoa(v)
	}
	return p(a) + "·" + p(b)
}

func rot180(v []int) []int {
	r := make([]int, len(v))
	for i, x := range v {
		r[len(v)-1-i] = x
	}
	return r
}
