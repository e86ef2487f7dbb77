package config

import "log/slog"

// Secret is a setting that must not be seen. It hides in every kind of
// printing, logging and JSON; string(s) is the only way to its value.
type Secret string

const hidden = "[hidden]"

func (s Secret) String() string               { return hidden }
func (s Secret) GoString() string             { return hidden }
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
