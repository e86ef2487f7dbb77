package config

import "log/slog"

// Secret is a setting that must not be shown. It is hidden in printing, logging
// and JSON, except in an unexported field, where fmt cannot call its methods.
// string(s) is its value.
type Secret string

const hidden = "[hidden]"

// String hides the Secret from fmt's %v and %s.
func (s Secret) String() string { return hidden }

// GoString hides the Secret from fmt's %#v.
func (s Secret) GoString() string { return hidden }

// MarshalText hides the Secret from JSON and from slog's handlers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the Secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Keys returns the keys in APP_SECRET_KEY, the newest first; none if it is not
// set.
func (c *Config) Keys() (keys [][]byte) {
	for _, key := range c.AppSecretKeys {
		keys = append(keys, []byte(key))
	}
	return keys
}
