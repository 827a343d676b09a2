package tex

import "strings"

// Markdown replaces the formulas of a text, $…$ and $$…$$, by MathML. It leaves code in backquotes
// alone.
func Markdown(text string) (string, error) {
	var b strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "$`")
		if at < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:at])
		text = text[at:]
		mark := text[:1]
		for len(mark) < len(text) && text[len(mark)] == mark[0] {
			mark += mark[:1]
		}
		body, rest, ok := strings.Cut(text[len(mark):], mark)
		if !ok {
			b.WriteString(text)
			break
		}
		if mark[0] == '`' {
			b.WriteString(mark + body + mark)
		} else {
			m, err := MathML(body, mark == "$$")
			if err != nil {
				return "", err
			}
			b.WriteString(quiet.Replace(m))
		}
		text = rest
	}
	return b.String(), nil
}

// quiet writes what Markdown would take for its own as entities.
var quiet = strings.NewReplacer("*", "&#42;", "_", "&#95;", "[", "&#91;", "]", "&#93;", "|", "&#124;")
