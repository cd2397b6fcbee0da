"""How much memory this process has held."""

import sys

try:
    import resource
except ImportError:  # Windows
    resource = None

_MEGABYTE = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kilobytes


def peak():
    """Return the most memory that this process held so far, in MB; 0 where it is unknown."""
    if resource is None:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
