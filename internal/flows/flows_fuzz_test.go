package flows

import (
	"net/url"
	"strings"
	"testing"
)

// wantOwn checks that a browser stays on our site with a return path.
func wantOwn(t *testing.T, given, path string) {
	t.Helper()
	const ours = "https://bank.example"
	base, err := url.Parse(ours)
	if err != nil {
		t.Fatal(err)
	}
	to, err := base.Parse(path)
	if err != nil || to.Scheme != "https" || to.Host != "bank.example" || to.User != nil {
		t.Errorf("%q leads to %v", given, to)
	}
	// Browsers skip tabs and newlines, and read a backslash as a slash.
	seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(path)
	if !strings.HasPrefix(seen, "/") || strings.HasPrefix(seen, "//") || len(path) > maxReturnPath {
		t.Errorf("%q leads to %q", given, path)
	}
}

// A return path is one of our pages.
func FuzzOwnPath(f *testing.F) {
	for _, path := range []string{
		"/activate?user_code=AB-C", "//evil.example", `/\evil.example`, "/\t/evil.example", "https://evil.example", "javascript:alert(1)",
		"/%2f/evil.example", "/.//evil.example", "/..//evil.example", "\x00/", "/a#b", "?x", "", "/" + strings.Repeat("x", 300), "/\u2028",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, given string) {
		path := Flows{fallback: fallback}.OwnPath(given)
		wantOwn(t, given, path)
		if again := (Flows{fallback: fallback}).OwnPath(path); again != path {
			t.Errorf("OwnPath(%q) is %q, and of that %q", given, path, again)
		}
	})
}

// A state that we did not make leads nowhere but to the account.
func FuzzState(f *testing.F) {
	kept, jar := newStore(f, "https://bank.example")
	flows := New(jar, kept, fallback)
	state, err := flows.NewState("/make-change")
	if err != nil {
		f.Fatal(err)
	}
	id, sealed, _ := strings.Cut(state, ".")
	for _, text := range []string{state, id, "." + sealed, id[1:] + "." + sealed, sealed, "", ".", "a.b.c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		gotID, path := flows.ParseState(text)
		if path != fallback && (path != "/make-change" || len(gotID) != len(id)) { // each fuzzing process has an ID of its own
			t.Errorf("%q is the login %q and leads to %q", text, gotID, path)
		}
		wantOwn(t, text, path)
	})
}
