package config

// checkMetrics keeps the metrics and the profiles off the ports that browsers
// use, whatever the addresses: a proxy or a container publishes a port.
func (p *parser) checkMetrics(c *Config) {
	for _, at := range c.MetricsListen {
		switch port := int(at.Port()); {
		case port == 0: // any free one
		case port == c.Port:
			p.fault("METRICS_LISTEN", "has port %d, which is PORT's, where everyone could read it; use another port", port)
		case c.Demo && port == c.DemoPort:
			p.fault("METRICS_LISTEN", "has port %d, which is DEMO_PORT's, where everyone could read it; use another port", port)
		}
	}
}
