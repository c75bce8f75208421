"""A class's name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.architecture.tree import ROOT, product_files


def test_no_two_classes_share_a_name() -> None:
    """Connectors are of one shape: what is the same in each has the same name in each."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in product_files("*.py"):
        parts = path.relative_to(ROOT).parts
        root = "a connector" if parts[0] == "connectors" else "the rest"
        inside = parts[1] if parts[0] == "connectors" else ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name][f"{root} {inside}"].append("/".join(parts))
    shared = {
        name: found
        for name, found in places.items()
        if any(len(paths) > 1 for paths in found.values()) or (len(found) > 1 and "the rest " in found)
    }
    assert {name: dict(found) for name, found in shared.items()} == {}
