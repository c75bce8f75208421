"""Whether partitions are captured as rows of their root or as tables of their own: decided once for a log.

The publication decides at the first start. Later it may be altered for a moment and back, and must not
leave a log with both kinds of tables; it changes the layout only where the config says the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from cdc_source_postgres.statements import set_via_root

MEMORY_LAYOUT = "via_root"
SENT_ANOTHER_WAY = (
    "sends partitions in another way than when this log was started: their changes are not captured "
    "until it is"
    " set back, and copied then"
)


class Layout:
    """`via_root` is None until the publication was seen. Reads and writes of it are atomic."""

    def __init__(self, *, configured: bool) -> None:
        self._configured = configured
        self._warned = False
        self.via_root: bool | None = None
        self.unsaved: dict[str, str] = {}

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers."""
        text = memory.get(MEMORY_LAYOUT)
        if text is not None:
            self.via_root = text == "true"

    def decide(self, *, published: bool) -> bool:
        """The layout, given what the publication does now."""
        if self.via_root is None or (published == self._configured != self.via_root):
            self.via_root = published
            self.unsaved = {MEMORY_LAYOUT: "true" if published else "false"}
        return self.via_root

    def differs(self, *, via_root: bool) -> bool:
        """Whether the publication has just come to differ."""
        differs = self.decide(published=via_root) != via_root
        is_news = differs and not self._warned
        self._warned = differs
        return is_news

    def remedy(self, publication: str) -> str:
        """The statement that sets the publication back."""
        return f"{set_via_root(publication, via_root=bool(self.via_root))};"

    def delivered(self, memory: Mapping[str, str | None]) -> None:
        """The log has it."""
        if self.unsaved and memory.get(MEMORY_LAYOUT) == self.unsaved[MEMORY_LAYOUT]:
            self.unsaved = {}
