"""Places in nested JSON, for tests that put odd values there."""

import copy


def places(data, path=()):
    """Every path to a value in nested JSON."""
    if path:
        yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield from places(value, (*path, key))


def changed(data, path, value):
    """A copy of nested JSON with another value at a path."""
    data = copy.deepcopy(data)
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return data
