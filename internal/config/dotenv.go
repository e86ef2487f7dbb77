package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// line is a NAME=value of a .env file, and the number of the line that it
// begins on.
type line struct {
	number      int
	name, value string
}

// readFile reads a .env file, which need not exist. Errors never quote it, since
// it holds secrets.
func readFile(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%s is not UTF-8 text; save it as UTF-8 (some editors on Windows save UTF-16)", path)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors on Windows add a byte order mark
	lines, bad := parseFile(string(text))
	values, err := godotenv.UnmarshalBytes(text)
	if bad != 0 || err != nil {
		return nil, fmt.Errorf("%s, line %d: want NAME=value, with single quotes around a value that has spaces, $ or #", path, bad)
	}
	for i, l := range lines {
		// Of the whole file, where one value may refer to another.
		lines[i].value = strings.TrimSpace(values[l.name])
	}
	return lines, nil
}

// parseFile finds the names in the text of a .env file. bad is the number of the
// first line that is not understood, or 0. The parser has no line numbers, so
// it gets line by line, and more of them while a quoted value is open.
func parseFile(text string) (found []line, bad int) {
	number, begin, open := 0, 0, ""
	for next := range strings.Lines(text) {
		number++
		if open == "" {
			begin = number
		}
		open += next
		values, err := godotenv.Unmarshal(open)
		if err != nil {
			continue
		}
		open = ""
		for name := range values {
			if name == "" { // a last line without an equals sign
				return nil, begin
			}
			found = append(found, line{number: begin, name: name})
		}
	}
	if open != "" {
		return nil, begin
	}
	return found, 0
}
