package config

import (
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// load reads one file with both readers and returns its assignments with the
// values that ini.v1 gives. The scanner has refused every line on which the
// two are known to differ; should they differ all the same, that line is
// refused too, so that no value is ever taken on the word of one of them.
func load(f file) ([]*entry, []header, []Problem) {
	entries, headers, problems := scan(f.path, f.data)
	if len(problems) > 0 {
		return nil, nil, problems
	}
	parsed, err := ini.LoadSources(iniOptions(len(f.data)), f.data)
	if err != nil { // its text may quote a password
		return nil, nil, []Problem{{
			File: f.path, Reason: "ini.v1 cannot read the file",
			Hint: "report the file, without its secrets, as a defect",
		}}
	}
	seen := map[[2]string]int{}
	for _, e := range entries {
		id := [2]string{e.section, e.key}
		value, ok := iniValue(parsed, e.section, e.key, seen[id])
		seen[id]++
		if !ok || value != e.value {
			p := Problem{
				Section: e.section, Option: e.key,
				Reason: "the line can be read in two ways", Hint: "write the value on one line, in double quotes",
			}
			problems = append(problems, p.at(e.origin))
		}
		e.value = value
	}
	return entries, headers, problems
}

// iniOptions bring ini.v1 as close to the grammar as it goes.
func iniOptions(size int) ini.LoadOptions {
	return ini.LoadOptions{
		IgnoreInlineComment:        true, // a # in a password is no comment
		IgnoreContinuation:         true, // a \ at the end neither
		AllowPythonMultilineValues: true,
		AllowShadows:               true,
		AllowDuplicateShadowValues: true,
		KeyValueDelimiters:         "=:",
		ChildSectionDelimiter:      "\x00", // [x.y] does not inherit from [x]
		ReaderBufferSize:           size + 1,
	}
}

// iniValue returns the n-th value of a key. Value and ValueWithShadows are the
// only raw accessors; String would interpolate %(name)s.
func iniValue(f *ini.File, section, key string, n int) (string, bool) {
	s, err := f.GetSection(section)
	if err != nil {
		return "", false
	}
	k, err := s.GetKey(key)
	if err != nil {
		return "", false
	}
	values := k.ValueWithShadows()
	if len(values) == 0 && n == 0 {
		return k.Value(), true // ValueWithShadows leaves empty values out
	}
	if n >= len(values) {
		return "", false
	}
	return trimLines(values[n]), true
}

// trimLines removes what ini.v1 keeps of continuation lines: their indent,
// their trailing blanks, and lines of blanks after the value.
func trimLines(value string) string {
	lines := strings.Split(value, "\n")
	for i := 1; i < len(lines); i++ {
		lines[i] = strings.TrimSpace(lines[i])
	}
	for len(lines) > 1 && lines[len(lines)-1] == "" {
		lines = slices.Delete(lines, len(lines)-1, len(lines))
	}
	return strings.Join(lines, "\n")
}
