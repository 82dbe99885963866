"""A service in a process of its own; this module imports nothing of it before, as the command line does."""

import sys


def serve_in_process(options, lines):
    """Serve with these options. `lines`: a connection that gets what a user would be told."""
    from lateint.serving.options import ServeOptions
    from lateint.serving.run import serve

    sys.exit(serve(ServeOptions(**options), lines.send))
