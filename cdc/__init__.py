"""The change-data-capture engine: source → log → sinks; it knows no database and no warehouse by name."""

from importlib import metadata

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        return metadata.version("cdcd")
    raise AttributeError(name)
