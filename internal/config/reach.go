package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	startAgent = "start it again with: ngrok start --all --config ngrok.yml"
	// The provider must learn a new address, and FusionAuth's kickstart runs once.
	tellProvider = "tell your provider as well: at FusionAuth, docker compose down -v && docker compose up -d --wait runs the kickstart again, and deletes self-registered users"
)

// throughNgrok takes AppURL and DemoURL from the tunnels to their ports.
func (p *parser) throughNgrok(c *Config, ask func(api string) (map[int][]string, error)) {
	if c.NgrokAPI == "" {
		return // a fault already
	}
	tunnels, err := ask(c.NgrokAPI)
	if err != nil {
		p.fault("-ngrok:", "%v", err)
		return
	}
	if len(tunnels) == 0 {
		p.fault("-ngrok:", "the ngrok agent has no tunnel to this machine; add the endpoints of ngrok.yml.example to ngrok.yml, and %s", startAgent)
		return
	}
	p.tunnels = tunnels
	c.AppURL = p.tunnel("APP_URL", "PORT", c.Port)
	if c.Demo {
		c.DemoURL = p.tunnel("DEMO_URL", "DEMO_PORT", c.DemoPort)
	}
	if c.AppURL != "" && c.AppURL == c.DemoURL {
		p.fault("-ngrok:", "both tunnels are at %s, so one of the two cannot be reached; give each endpoint in ngrok.yml a url of its own, or none, and %s", c.AppURL, startAgent)
	}
}

// tunnel returns the public URL of a port, or "" after a fault.
func (p *parser) tunnel(name, portName string, port int) string {
	if port == 0 {
		return "" // a fault already
	}
	public := p.tunnels[port]
	https := slices.DeleteFunc(slices.Clone(public), func(u string) bool { return !strings.HasPrefix(u, "https:") })
	switch {
	case len(public) == 0:
		p.report(portName, fmt.Sprintf("-ngrok: no tunnel leads to port %d (%s); add {name: port-%[1]d, upstream: {url: %[1]d}} to the endpoints in ngrok.yml, and %[3]s", port, portName, startAgent))
		return ""
	case len(https) == 0:
		p.report(portName, fmt.Sprintf("-ngrok: the tunnel to port %d (%s) is %s, where others on the way could read cookies and codes; give it an https url in ngrok.yml, and %s", port, portName, public[0], startAgent))
		return ""
	}
	return p.foundOrigin(name, https, fmt.Sprintf("the tunnel to port %d", port))
}

// foundOrigin returns the address that was found for a setting: the one of
// several that the setting names, or the first. It returns "" after a fault.
func (p *parser) foundOrigin(name string, found []string, what string) string {
	set := p.origin(name, found[0])
	if set == "" || slices.Contains(found, set) {
		return set
	}
	and := ""
	if p.values["ISSUER"] != "" {
		and = "; if you set it, " + tellProvider
	}
	p.fault(name, "is %s, but %s is %s; remove %s, or set it to that%s", set, what, found[0], name, and)
	return ""
}

// onLAN makes this machine's address in a local network the one that browsers
// use. Loopback is listened on as well, and redirects there.
func (p *parser) onLAN(c *Config, addresses func() (map[netip.Addr]string, error)) {
	addr, ok := p.lanAddress(c, addresses)
	if !ok {
		return // a fault already
	}
	c.Listen = []string{addr, "127.0.0.1", "::1"}
	at := func(port int) []string {
		return []string{joinOrigin("http", net.JoinHostPort(addr, strconv.Itoa(port)))}
	}
	c.AppURL = p.foundOrigin("APP_URL", at(c.Port), "this computer's address with -lan")
	if c.Demo {
		c.DemoURL = p.foundOrigin("DEMO_URL", at(c.DemoPort), "the demo provider's address with -lan")
	}
}

// lanAddress returns the address that LISTEN names, or the only one there is.
func (p *parser) lanAddress(c *Config, addresses func() (map[netip.Addr]string, error)) (addr string, ok bool) {
	if p.values["LISTEN"] != "" {
		named := slices.DeleteFunc(slices.Clone(c.Listen), isLoopback)
		if len(named) == 1 && isPrivate(named[0]) && !strings.Contains(named[0], ":") {
			return named[0], true
		}
		p.fault("LISTEN", "is %q; with -lan it is one private IPv4 address of this machine, like 192.168.1.20", p.values["LISTEN"])
		return "", false
	}
	found, err := addresses()
	if err != nil {
		p.fault("-lan:", "%v", err)
		return "", false
	}
	var list []string
	for _, one := range slices.SortedFunc(maps.Keys(found), netip.Addr.Compare) {
		addr = one.String()
		list = append(list, fmt.Sprintf("%s (%s)", addr, found[one]))
	}
	switch len(list) {
	case 0:
		p.fault("-lan:", "this machine has no private IPv4 address in a network with others; connect it to the phone's network, or name its address there, like: LISTEN=192.168.1.20 go run . -lan")
		return "", false
	case 1:
		return addr, true
	}
	p.fault("-lan:", "this machine has several addresses: %s; choose the one in the phone's network, like: LISTEN=%s go run . -lan", strings.Join(list, ", "), addr)
	return "", false
}

// checkReach finds an issuer that a phone cannot reach, or only where others can
// read the traffic.
func (p *parser) checkReach(c *Config, issuer *url.URL) {
	host := issuer.Hostname()
	ours := isLoopback(host)
	switch {
	case issuer.Scheme == "http" && !ours && !(c.LAN && isPrivate(host)):
		or := ""
		if c.LAN {
			or = ", or a private address in this network"
		}
		p.fault("ISSUER", "is %s, where others on the way could read the client secret and the tokens; use https%s", c.Issuer, or)
	case c.LAN && ours:
		p.fault("ISSUER", "is %s, which a phone would look for on itself; set it to your provider's address in this network, like http://%s:9011, and %s", c.Issuer, cmp.Or(hostOf(c.AppURL), "192.168.1.20"), tellProvider)
	case p.tunnels != nil && (ours || strings.Contains(host, "ngrok")):
		p.checkIssuerTunnel(c)
	}
}

// checkIssuerTunnel requires an issuer that a phone reaches only through a
// tunnel to be one of the tunnels, to the letter: a free tunnel gets another
// name at each start.
func (p *parser) checkIssuerTunnel(c *Config) {
	var others []string
	for _, port := range slices.Sorted(maps.Keys(p.tunnels)) {
		if slices.Contains(p.tunnels[port], c.Issuer) {
			return
		}
		if port != c.Port {
			others = append(others, p.tunnels[port]...)
		}
	}
	if len(others) == 0 {
		p.fault("ISSUER", "is %s, and no tunnel leads there; add one to the endpoints in ngrok.yml, like {name: provider, upstream: {url: 9011}}, %s, set ISSUER to its public URL, and %s", c.Issuer, startAgent, tellProvider)
		return
	}
	p.fault("ISSUER", "is %s, but your provider's tunnel is %s; set it to exactly that, and %s", c.Issuer, strings.Join(others, " or "), tellProvider)
}
