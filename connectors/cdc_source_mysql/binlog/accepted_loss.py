"""What an operator gives up: the GTIDs in `accept_lost_gtids`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cdc_source_mysql.binlog.gtid import GtidSet, MariadbGtid

# `0-1-98`, or several of one server: `0-1-98..100`.
_RUN = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,19})(?:\.\.(\d{1,19}))?")


@dataclass(frozen=True, slots=True)
class Run:
    """Transactions of one MariaDB server in one domain, by their numbers."""

    domain: int
    server_id: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AcceptedLoss:
    """What `accept_lost_gtids` names: MySQL's set, or MariaDB's runs."""

    gtids: GtidSet
    runs: tuple[Run, ...]

    @classmethod
    def parse(cls, text: str) -> AcceptedLoss:
        """ValueError when it is neither."""
        plain = "".join(text.split())
        if ":" in plain or not plain:
            return cls(GtidSet.parse(plain), ())
        return cls(GtidSet(), tuple(_run(part) for part in plain.split(",")))

    def first(self, last: MariadbGtid) -> int | None:
        """The lowest number that is given up in the domain of our last transaction; None when that isn't."""
        runs = [run for run in self.runs if run.domain == last.domain]
        if not any(r.server_id == last.server_id and r.first <= last.sequence == r.last for r in runs):
            return None
        return min(run.first for run in runs)


def _run(text: str) -> Run:
    found = _RUN.fullmatch(text)
    if found is None or int(found[4] or found[3]) < int(found[3]):
        raise ValueError(
            "expected GTIDs: uuid:5-7 of MySQL, 0-1-98 or 0-1-98..100 of MariaDB, joined by commas"
        )
    return Run(int(found[1]), int(found[2]), int(found[3]), int(found[4] or found[3]))
