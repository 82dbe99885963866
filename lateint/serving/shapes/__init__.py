"""The wire formats of the service: one file each. All read one body and answer from one value."""
