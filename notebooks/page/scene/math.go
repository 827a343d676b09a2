package scene

import (
	"html"
	"strings"
)

// Math turns a formula into MathML, which browsers draw without a font of their own and screen
// readers read. The language is a little of TeX: a_{b}, a^{b}, frac{a}{b}, sum_{a}, and words
// in quotes. Everything else is an identifier, a number or an operator, separated by blanks where
// it matters.
func Math(f string) string {
	var out string
	for _, one := range strings.Split(f, " , ") { // each on a line of its own
		p := parser{s: []rune(one)}
		out += `<math display="block">` + p.run(0) + `</math>`
	}
	return out
}

type parser struct {
	s []rune
	i int
}

func (p *parser) run(end rune) string {
	var out []string
	for p.i < len(p.s) {
		if end != 0 && p.s[p.i] == end {
			p.i++
			break
		}
		if t := p.atom(); t != "" {
			out = append(out, t)
		}
	}
	return "<mrow>" + strings.Join(out, "") + "</mrow>"
}

func (p *parser) braces() string {
	if p.i < len(p.s) && p.s[p.i] == '{' {
		p.i++
		return p.run('}')
	}
	return "<mrow></mrow>"
}

func letter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("δηΔ", r)
}

func (p *parser) atom() string {
	r := p.s[p.i]
	base := ""
	switch {
	case r == ' ':
		p.i++
		return ""
	case letter(r):
		from := p.i
		for p.i < len(p.s) && letter(p.s[p.i]) {
			p.i++
		}
		word := string(p.s[from:p.i])
		switch {
		case word == "frac":
			return "<mfrac>" + p.braces() + p.braces() + "</mfrac>"
		case word == "sum":
			base = "<mo>∑</mo>"
			if p.i < len(p.s) && p.s[p.i] == '_' {
				p.i++
				return "<munder>" + base + p.braces() + "</munder>"
			}
			return base
		case r >= '0' && r <= '9':
			base = "<mn>" + word + "</mn>"
		default:
			base = "<mi>" + word + "</mi>"
		}
	case r == '"':
		words, _, _ := strings.Cut(string(p.s[p.i+1:]), `"`)
		p.i += len([]rune(words)) + 2
		return "<mtext>\u00a0" + html.EscapeString(words) + "\u00a0</mtext>"
	default:
		p.i++
		base = "<mo>" + html.EscapeString(string(r)) + "</mo>"
	}
	if p.i < len(p.s) && p.s[p.i] == '′' {
		p.i++
		base = "<msup>" + base + "<mo>′</mo></msup>"
	}
	for p.i < len(p.s) && (p.s[p.i] == '_' || p.s[p.i] == '^') {
		tag := map[rune]string{'_': "msub", '^': "msup"}[p.s[p.i]]
		p.i++
		base = "<" + tag + ">" + base + p.braces() + "</" + tag + ">"
	}
	return base
}
