"""Methods as data: the `Method` value, the presets, and the registry of parts by name."""
