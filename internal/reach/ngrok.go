package reach

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	agentTimeout = 3 * time.Second // for all requests together
	maxAnswer    = 1 << 20         // bytes of one response
)

// Tunnels asks the ngrok agent with its API at the URL api for its tunnels. It
// returns their public URLs by the port of this machine that they lead to.
// Tunnels to other machines, and those that are not for HTTP, are left out. An
// error is one sentence, and says what to do.
func Tunnels(ctx context.Context, api string) (map[int][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	api = strings.TrimSuffix(api, "/")
	// Agents list the tunnels of ngrok.yml under /tunnels, and newer agents list
	// its endpoints under /endpoints. Either list may lack the other's.
	tunnels, err := ask(ctx, api, "tunnels")
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		const start = "ngrok start --all --config ngrok.yml"
		if unreachable.Timeout() {
			return nil, fmt.Errorf("the ngrok agent at %s (NGROK_API) does not answer; stop it, and start it again with: %s", api, start)
		}
		return nil, fmt.Errorf("no ngrok agent listens at %s (NGROK_API); start it with: %s", api, start)
	}
	endpoints, err2 := ask(ctx, api, "endpoints")
	if err != nil && err2 != nil {
		return nil, fmt.Errorf("the server at %s (NGROK_API) is not the ngrok agent's API: %w; set NGROK_API to the agent's web_addr, followed by /api", api, err)
	}
	found := make(map[int][]string)
	for _, t := range slices.Concat(tunnels, endpoints) {
		public, ok := origin(cmp.Or(t.PublicURL, t.URL))
		port := cmp.Or(t.Config.Addr, t.Upstream).port()
		if ok && port != 0 && !slices.Contains(found[port], public) {
			found[port] = append(found[port], public)
		}
	}
	return found, nil
}

// tunnel is a tunnel or an endpoint, as the agent describes it.
type tunnel struct {
	PublicURL string `json:"public_url"`
	Config    struct {
		Addr upstream `json:"addr"`
	} `json:"config"`

	URL      string   `json:"url"`
	Upstream upstream `json:"upstream"`
}

// ask returns one of the agent's lists. The error is a *url.Error if the agent
// cannot be reached; any other error is about its answer.
func ask(ctx context.Context, api, list string) ([]tunnel, error) {
	from := api + "/" + list
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	// Not the default client: it would use a proxy from the environment and follow
	// redirects, and an agent needs neither.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, &url.Error{Op: "Get", URL: from, Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, &url.Error{Op: "Get", URL: from, Err: err}
	}
	if len(body) > maxAnswer {
		return nil, errors.New("its answer is too long")
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("its answer is not the agent's JSON")
	}
	var tunnels []tunnel
	if err := json.Unmarshal(answer[list], &tunnels); err != nil { // also an error if it is missing
		return nil, fmt.Errorf("its answer has no list of %s", list)
	}
	return tunnels, nil
}

// origin returns the scheme and host of a URL that a browser can open.
func origin(public string) (string, bool) {
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", false
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), true
}

// upstream is where a tunnel leads: http://localhost:5000, localhost:5000 or
// 5000, perhaps as the url of an object.
type upstream string

// UnmarshalJSON implements [json.Unmarshaler]. An unknown form leads nowhere, and
// is no error: one odd tunnel must not hide the others.
func (u *upstream) UnmarshalJSON(text []byte) error {
	var object struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(text, &object); err == nil {
		*u = upstream(object.URL)
		return nil
	}
	*u = upstream(strings.Trim(string(text), `"`))
	return nil
}

// port returns the port of this machine that u leads to over http, or 0.
func (u upstream) port() int {
	address := string(u)
	if _, err := strconv.Atoi(address); err == nil {
		address = "localhost:" + address
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	to, err := url.Parse(address)
	if err != nil || to.Scheme != "http" {
		return 0
	}
	if addr, err := netip.ParseAddr(to.Hostname()); to.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		return 0
	}
	port, err := strconv.ParseUint(cmp.Or(to.Port(), "80"), 10, 16)
	if err != nil {
		return 0
	}
	return int(port)
}
