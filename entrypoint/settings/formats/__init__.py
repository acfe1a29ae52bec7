"""The formats in which a root is set, a file each: where it stands in a text, and the text with another one.

Face: `daemon_json`, `config_toml`, `unit`, `environment`; `words` is how systemd divides a line.
"""
