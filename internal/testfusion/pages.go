package testfusion

import (
	"encoding/json"
	"html/template"
	"net/url"
	"slices"
	"strings"
)

// pages are FusionAuth's hosted pages without their styles. Each has one form at
// most.
var pages = template.Must(template.New("").Parse(`
{{define "hidden"}}{{range $name, $value := .Hidden}}<input type="hidden" name="{{$name}}" value="{{$value}}">{{end}}{{end}}

{{define "person"}}
<p><label>Email <input id="email" name="email" type="email" autocomplete="username"></label>
<p><label>Password <input id="password" name="password" type="password"></label>
{{end}}

{{define "keep"}}
<p><label><input id="rememberDevice" name="rememberDevice" type="checkbox" value="true"> Keep me signed in</label>
{{end}}

{{define "login"}}<title>Login | FusionAuth</title><h1>Login</h1>
{{with .Problem}}<p id="problem">{{.}}</p>{{end}}
<form id="login" method="post" action="{{.Action}}">
{{template "hidden" .}}{{template "person" .}}{{template "keep" .}}
<p><button id="submit">Submit</button>
</form>
{{with .Register}}<p>Don't have an account? <a id="create-account" href="{{.}}">Create one</a>{{end}}
{{end}}

{{define "register"}}<title>Register | FusionAuth</title><h1>Create an account</h1>
{{with .Problem}}<p id="problem">{{.}}</p>{{end}}
<form id="register" method="post" action="/oauth2/register">
{{template "hidden" .}}{{template "person" .}}
{{if .FullName}}<p><label>Full name <input id="fullName" name="fullName"></label>{{end}}
{{template "keep" .}}
<p><button id="submit">Register</button>
</form>
{{end}}

{{define "code"}}<title>Connect your device | FusionAuth</title><h1>Connect your device</h1>
{{with .Problem}}<p id="problem">{{.}}</p>{{end}}
<form id="device" method="post" action="/oauth2/device">
{{template "hidden" .}}
<p><label>Code <input id="interactive_user_code" name="interactive_user_code" value="{{.UserCode}}"></label>
<p><button id="submit">Submit</button>
</form>
{{end}}

{{define "message"}}<title>{{.Title}} | FusionAuth</title><h1>{{.Title}}</h1><p id="message">{{.Text}}</p>{{end}}

{{define "error"}}<title>OAuth error | FusionAuth</title><h1>There was a problem</h1><pre id="error">{{.}}</pre>{{end}}
`))

func page(name string, data any) answer {
	var text strings.Builder
	if err := pages.ExecuteTemplate(&text, name, data); err != nil {
		panic(err) // never: the templates are tested
	}
	return answer{html: "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">" + text.String() + "</html>"}
}

// form is the data of a page with a form.
type form struct {
	Action, Problem string
	Hidden          map[string]string
	UserCode        string
	Register        string // the link to create an account, if that is enabled
	FullName        bool
}

// hidden returns the parameters that a form passes on.
func hidden(params url.Values) map[string]string {
	passed := make(map[string]string)
	for name := range params {
		if slices.Contains(oauthParams, name) {
			passed[name] = params.Get(name)
		}
	}
	return passed
}

func (s *Server) loginPage(a *authRequest, problem string) answer {
	f := form{Action: "/oauth2/authorize", Problem: problem, Hidden: hidden(a.params)}
	if a.app.Registration.Enabled {
		query := make(url.Values)
		for name, value := range f.Hidden {
			query.Set(name, value)
		}
		f.Register = "/oauth2/register?" + query.Encode()
	}
	return page("login", f)
}

func (s *Server) registerPage(a *authRequest, problem string) answer {
	return page("register", form{Problem: problem, Hidden: hidden(a.params), FullName: a.app.Registration.FullName.Enabled})
}

func (s *Server) codePage(params url.Values, userCode, problem string) answer {
	passed := hidden(params)
	delete(passed, "user_code")
	return page("code", form{Problem: problem, Hidden: passed, UserCode: userCode})
}

func (s *Server) deviceLoginPage(params url.Values, userCode, problem string) answer {
	passed := hidden(params)
	passed["user_code"] = userCode
	return page("login", form{Action: "/oauth2/device", Problem: problem, Hidden: passed})
}

func message(title, text string) answer {
	return page("message", struct{ Title, Text string }{title, text})
}

// page returns the error as a page.
func (e *oauthError) page() answer {
	text, err := json.Marshal(e.fields())
	if err != nil {
		panic(err) // never: it is a map of strings
	}
	a := page("error", string(text))
	a.status = e.status
	return a
}
