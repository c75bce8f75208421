"""The change-data-capture engine: source → log → sinks; it depends on no particular database or warehouse."""

from importlib import metadata

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        return metadata.version("cdcd")
    raise AttributeError(name)
