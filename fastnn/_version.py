"""The version of fastnn."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fastnn")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"
