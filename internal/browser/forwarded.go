package browser

import (
	"mime"
	"net/http"
	"slices"
	"strings"
)

// forwarded returns the parameters of each element of the Forwarded headers
// (RFC 7239), those of the proxy nearest to the browser first. A malformed
// element has none.
func forwarded(h http.Header) (elements []map[string]string) {
	for rest := strings.Join(h.Values("Forwarded"), ","); rest != ""; {
		var element string
		rest, element = cutLast(rest)
		// Parameters are written as those of a media type.
		_, params, err := mime.ParseMediaType("x;" + element)
		if err != nil {
			params = nil
		}
		elements = append(elements, params)
	}
	slices.Reverse(elements)
	return elements
}

// cutLast cuts off the last element of a list, the text after the last comma
// outside quotes. It reads from the right: a browser that sends half of a
// quoted string would otherwise swallow the element that a proxy appended.
func cutLast(list string) (before, last string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"':
			backslashes := i - len(strings.TrimRight(list[:i], `\`))
			if backslashes%2 == 0 { // else the quote is escaped
				quoted = !quoted
			}
		case list[i] == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return "", list
}
