"""Methods as data: the value, the presets, parts by name."""
