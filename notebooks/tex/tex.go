// Package tex turns the formulas of the notebooks and the page into MathML. Browsers draw it
// without a script or a font of its own, and screen readers read it.
package tex

import (
	"fmt"
	"html"
	"strings"
)

// MathML converts a formula in TeX. It knows the commands that the notebooks use, and returns an
// error for any other.
func MathML(formula string, display bool) (string, error) {
	p := &parser{s: []rune(formula), display: display}
	body := p.row(0)
	if p.err == nil && p.i < len(p.s) {
		p.fail("a } without its {")
	}
	if p.err != nil {
		return "", fmt.Errorf("tex: %q: %w", formula, p.err)
	}
	attribute := ""
	if display {
		attribute = ` display="block"`
	}
	return "<math" + attribute + "><mrow>" + body + "</mrow></math>", nil
}

// letters, signs and functions are the commands without an argument.
var (
	letters = map[string]string{"delta": "δ", "eta": "η", "mu": "μ", "sigma": "σ", "gamma": "γ", "beta": "β",
		"varepsilon": "ε", "partial": "∂", "infty": "∞", "Delta": "Δ"}
	signs = map[string]string{"times": "×", "otimes": "⊗", "circ": "°", "le": "≤", "ast": "∗", "cdot": "·",
		"leftarrow": "←", "to": "→", "in": "∈", "top": "⊤", "langle": "⟨", "rangle": "⟩", "lVert": "‖",
		"rVert": "‖", "lfloor": "⌊", "rfloor": "⌋", "{": "{", "}": "}"}
	spaces = map[string]string{",": "0.17em", ";": "0.28em", " ": "0.25em", "quad": "1em", "qquad": "2em"}
)

// A parser reads a formula from left to right. After an error it reads nothing more.
type parser struct {
	s       []rune
	i       int
	display bool
	err     error
}

func (p *parser) fail(format string, a ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, a...)
	}
	p.i = len(p.s)
}

// row reads up to the rune end, or to the end of the formula if end is 0.
func (p *parser) row(end rune) string {
	var b strings.Builder
	for {
		p.skip()
		switch {
		case p.i >= len(p.s):
			if end != 0 {
				p.fail("%q is missing", end)
			}
			return b.String()
		case p.s[p.i] == end:
			p.i++
			return b.String()
		case p.s[p.i] == '}':
			return b.String()
		}
		b.WriteString(p.scripted())
	}
}

func (p *parser) skip() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\n') {
		p.i++
	}
}

// argument is a group in braces, or one atom.
func (p *parser) argument() string {
	p.skip()
	if p.i < len(p.s) && p.s[p.i] == '{' {
		p.i++
		return "<mrow>" + p.row('}') + "</mrow>"
	}
	if p.i >= len(p.s) {
		p.fail("an argument is missing")
		return ""
	}
	base, _ := p.atom()
	return base
}

// words is a group in braces as it is written.
func (p *parser) words() string {
	p.skip()
	if p.i >= len(p.s) || p.s[p.i] != '{' {
		p.fail("words in braces are missing")
		return ""
	}
	text, _, ok := strings.Cut(string(p.s[p.i+1:]), "}")
	if !ok {
		p.fail("%q is missing", '}')
		return ""
	}
	p.i += len([]rune(text)) + 2
	return html.EscapeString(strings.ReplaceAll(text, " ", "\u00a0"))
}

// scripted is an atom with its primes, its index and its exponent.
func (p *parser) scripted() string {
	base, limits := p.atom()
	var sub, sup, primes string
	for ; p.i < len(p.s); p.skip() {
		switch p.s[p.i] {
		case '\'', '′':
			p.i++
			primes += `<mo lspace="0" rspace="0">′</mo>`
			continue
		case '_':
			p.i++
			sub = p.argument()
			continue
		case '^':
			p.i++
			sup = p.argument()
			continue
		}
		break
	}
	if primes != "" {
		base = "<mrow>" + base + primes + "</mrow>"
	}
	under, over, both := "msub", "msup", "msubsup"
	if limits && p.display {
		under, over, both = "munder", "mover", "munderover"
	}
	switch {
	case sub != "" && sup != "":
		return "<" + both + ">" + base + sub + sup + "</" + both + ">"
	case sub != "":
		return "<" + under + ">" + base + sub + "</" + under + ">"
	case sup != "":
		return "<" + over + ">" + base + sup + "</" + over + ">"
	}
	return base
}

func isDigit(r rune) bool  { return '0' <= r && r <= '9' }
func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// atom reads one symbol, command or group. limits says whether its scripts stand below and above.
func (p *parser) atom() (base string, limits bool) {
	r := p.s[p.i]
	switch {
	case r == '\\':
		return p.command()
	case r == '{':
		p.i++
		return "<mrow>" + p.row('}') + "</mrow>", false
	case isDigit(r):
		from := p.i
		for p.i < len(p.s) && (isDigit(p.s[p.i]) || p.s[p.i] == '.' && p.i+1 < len(p.s) && isDigit(p.s[p.i+1])) {
			p.i++
		}
		return "<mn>" + string(p.s[from:p.i]) + "</mn>", false
	case isLetter(r):
		p.i++
		return "<mi>" + string(r) + "</mi>", false
	}
	p.i++
	sign := string(r)
	switch r {
	case '-':
		sign = "−"
	case '*':
		sign = "∗"
	}
	return operator(sign, ""), false
}

// operator writes a sign; brackets keep the size of a letter unless size says otherwise.
func operator(sign, size string) string {
	attribute := ""
	if strings.Contains("()[]{}|⟨⟩‖⌊⌋", sign) {
		attribute = ` stretchy="false"`
		if size != "" {
			attribute = ` minsize="` + size + `" maxsize="` + size + `"`
		}
	}
	return "<mo" + attribute + ">" + html.EscapeString(sign) + "</mo>"
}

func (p *parser) command() (base string, limits bool) {
	p.i++
	from := p.i
	for p.i < len(p.s) && isLetter(p.s[p.i]) {
		p.i++
	}
	if p.i == from && p.i < len(p.s) { // a sign: \, or \{
		p.i++
	}
	name := string(p.s[from:p.i])
	if l, ok := letters[name]; ok {
		return "<mi>" + l + "</mi>", false
	}
	if s, ok := signs[name]; ok {
		return operator(s, ""), false
	}
	if w, ok := spaces[name]; ok {
		return `<mspace width="` + w + `"/>`, false
	}
	switch name {
	case "sum":
		return "<mo>∑</mo>", true
	case "max", "log":
		return "<mi>" + name + "</mi><mo>\u2061</mo>", false
	case "frac":
		return "<mfrac>" + p.argument() + p.argument() + "</mfrac>", false
	case "sqrt":
		return "<msqrt>" + p.argument() + "</msqrt>", false
	case "hat":
		return `<mover accent="true">` + p.argument() + "<mo>^</mo></mover>", false
	case "mathrm":
		return `<mi mathvariant="normal">` + p.words() + "</mi>", false
	case "text":
		return "<mtext>" + p.words() + "</mtext>", false
	case "tag":
		return `<mspace width="2em"/><mtext>(` + p.words() + ")</mtext>", false
	case "big", "Big":
		p.skip()
		if p.i >= len(p.s) {
			p.fail(`nothing behind \%s`, name)
			return "", false
		}
		sign := string(p.s[p.i])
		if sign == `\` && p.i+1 < len(p.s) {
			p.i++
			sign = string(p.s[p.i])
		}
		p.i++
		return operator(sign, map[string]string{"big": "1.2em", "Big": "1.8em"}[name]), false
	}
	p.fail(`no command \%s`, name)
	return "", false
}
