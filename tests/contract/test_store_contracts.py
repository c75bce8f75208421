"""The store contract on the local disk."""

from __future__ import annotations

from pathlib import Path

from cdc.lake.store import LocalStore, ObjectStore
from cdc.testing.store_contract import StoreContract


class TestLocalStore(StoreContract):
    def make_store(self, place: Path) -> ObjectStore:
        return LocalStore(place)

    def test_a_second_process_does_not_get_the_lock(self, place: Path) -> None:
        lock = LocalStore(place).lock("lock")
        assert LocalStore(place).lock("lock") is None
        assert lock is not None
        lock.release()
        assert LocalStore(place).lock("lock") is not None


class TestLocalStoreThatCanNotExchangeFolders(TestLocalStore):
    def make_store(self, place: Path) -> ObjectStore:
        return LocalStore(place, exchange=lambda _one, _other: False)
