package config

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// refuseBytes refuses what makes the whole file unreadable.
func refuseBytes(data []byte) (Problem, bool) {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return Problem{
				Reason: "the file starts with a byte order mark",
				Hint:   "save it as UTF-8 without BOM",
			}, true
		}
	}
	return Problem{}, false
}

// refuseText refuses characters on which readers split or trim differently.
func refuseText(line string) (reason, hint string) {
	if !utf8.ValidString(line) {
		return "the line is not UTF-8", "save the file as UTF-8"
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return "there is a control character in the line", "delete it; lines end with LF or CRLF"
	}
	first, _ := utf8.DecodeRuneInString(line)
	if first >= utf8.RuneSelf && unicode.IsSpace(first) && strings.TrimSpace(line) != "" {
		return "the line starts with a no-break space or the like", "delete it; only spaces and tabs indent a line"
	}
	return "", ""
}

// refuseKey refuses option names that ini.v1 would rename or unquote.
func refuseKey(key string) (reason, hint string) {
	switch {
	case key == "-":
		return "- is not an option name", "write the option's name before the ="
	case key[0] == '"' || key[0] == '`':
		return "an option name cannot be in quotes", "leave the quotes out"
	}
	return "", ""
}

// refuseValue refuses first lines of values that ini.v1 reads differently.
func refuseValue(value string) (reason, hint string) {
	switch {
	case value == "":
		return "", ""
	case value[0] == '`':
		return "a value cannot start with a backtick", "put the value in double quotes"
	case strings.HasPrefix(value, `"""`):
		return `a value cannot start with """`, "leave the quotes out"
	case value == `"` || value == `'`:
		return "the value is a single quote character", "leave it empty, or write two quotes"
	case value[0] != '"' && value[0] != '\'' || value[len(value)-1] != value[0]:
		return "", ""
	case strings.IndexByte(value[1:], value[0]) != len(value)-2:
		return "the value starts and ends with the same quote and has more of them inside, so it is unclear which belong to it",
			"leave the outer quotes out; if the value itself starts with a quote, put it in quotes of the other kind"
	}
	return "", ""
}

// refuseEmptyDuplicates refuses an empty assignment beside others of the same
// option in one section of one file: ini.v1 forgets it, wherever it stands.
func (s *scanner) refuseEmptyDuplicates() {
	type name struct{ section, key string }
	count := map[name]int{}
	for _, e := range s.entries {
		count[name{e.section, e.key}]++
	}
	for _, e := range s.entries {
		if e.value == "" && count[name{e.section, e.key}] > 1 {
			p := Problem{
				Section: e.section, Option: e.key,
				Reason: "the option is set to nothing here and to something on another line of this file",
				Hint:   "delete one of the lines",
			}
			s.problems = append(s.problems, p.at(e.origin))
		}
	}
}
