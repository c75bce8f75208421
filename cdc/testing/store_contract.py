"""The contract suite of object stores: subclass `StoreContract` and say how to make the store.

Every test is a promise of `cdc.lake.store.ObjectStore`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.lake.store import ABSENT, ObjectStore


class StoreContract:
    """Promises of every store. `place` is a folder (or a name for a bucket) of one test."""

    def make_store(self, place: Path) -> ObjectStore:
        """A store object for this place; two stores represent two processes."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.fixture
    def store(self, place: Path) -> ObjectStore:
        return self.make_store(place)

    def test_an_empty_store_holds_nothing_and_may_be_asked(self, store: ObjectStore) -> None:
        assert store.get("a") is None
        assert not store.has("a")
        assert list(store.keys("")) == []
        assert store.children("a/") == []
        store.delete(["a"])
        store.delete_all("a/")
        store.sync("a/")

    def test_what_is_put_is_there_whole_under_any_depth(self, place: Path, store: ObjectStore) -> None:
        assert store.put("a/b/c", b"one")
        assert store.put("a/b/c", b"two")
        found = self.make_store(place).get("a/b/c")
        assert found is not None
        assert found.data == b"two"

    def test_an_object_is_created_once(self, store: ObjectStore) -> None:
        assert store.put("a", b"one", over=ABSENT)
        assert store.put("a", b"two", over=ABSENT) is None
        found = store.get("a")
        assert found is not None
        assert found.data == b"one"

    def test_an_object_that_changed_meanwhile_is_not_replaced(self, place: Path, store: ObjectStore) -> None:
        first = store.put("a", b"one")
        found = store.get("a")
        assert found is not None
        assert found.version == first
        second = self.make_store(place).put("a", b"two", over=first)
        assert second not in {None, first}
        assert store.put("a", b"three", over=first) is None
        assert store.put("b", b"three", over=first) is None
        assert store.put("a", b"three", over=second)

    def test_keys_are_listed_in_order_below_their_prefix_only(self, store: ObjectStore) -> None:
        for key in ("t/2/y", "t/1/z", "t/1/x", "tt/1"):
            store.put(key, b"")
        assert list(store.keys("t/")) == ["t/1/x", "t/1/z", "t/2/y"]
        assert store.children("t/") == ["1", "2"]
        assert store.children("") == ["t", "tt"]

    def test_a_key_may_hold_any_printable_character(self, store: ObjectStore) -> None:
        key = "t/dt=2026-01-01/a b+c%2Fü&#?"
        store.put(key, b"one")
        store.copy(key, key + "'")
        assert list(store.keys("t/")) == [key, key + "'"]
        store.delete([key])
        assert store.get(key + "'")
        assert not store.has(key)

    def test_objects_are_deleted_one_by_one_or_below_a_prefix(self, store: ObjectStore) -> None:
        for key in ("t/1/x", "t/1/y", "t/2"):
            store.put(key, b"")
        store.delete(["t/1/x"])
        assert list(store.keys("t/")) == ["t/1/y", "t/2"]
        store.delete_all("t/1/")
        assert list(store.keys("")) == ["t/2"]

    def test_an_object_in_the_making_is_seen_by_nobody(self, place: Path, store: ObjectStore) -> None:
        writer = store.write("t/a")
        writer.file.write(b"half")
        assert writer.byte_count == 4
        other = self.make_store(place)
        assert not other.has("t/a")
        assert list(other.keys("")) == []
        writer.file.write(b" and whole")
        assert writer.close() == 14
        with other.read("t/a") as file:
            file.seek(5)
            assert file.read() == b"and whole"

    def test_an_abandoned_object_leaves_nothing(self, store: ObjectStore) -> None:
        writer = store.write("t/a")
        writer.file.write(b"half")
        writer.abandon()
        writer.abandon()
        assert list(store.keys("")) == []
        store.put("t/a", b"whole")
        assert store.has("t/a")

    def test_objects_are_published_under_their_final_keys_and_again_after_a_crash(
        self, place: Path, store: ObjectStore
    ) -> None:
        store.put("staging/0", b"zero")
        store.put("staging/1", b"one")
        store.publish({"staging/0": "t/a/0"})
        self.make_store(place).publish({"staging/0": "t/a/0", "staging/1": "t/b/1"})
        found = {key: store.get(key) for key in store.keys("")}
        assert {key: one.data for key, one in found.items() if one} == {"t/a/0": b"zero", "t/b/1": b"one"}

    def test_a_copy_stays_when_its_source_goes(self, store: ObjectStore) -> None:
        store.put("t/a", b"one")
        store.copy("t/a", "u/b/a")
        store.sync("u/")
        store.delete(["t/a"])
        found = store.get("u/b/a")
        assert found is not None
        assert found.data == b"one"

    def test_a_swap_replaces_all_objects_of_a_prefix_and_may_be_repeated(
        self, place: Path, store: ObjectStore
    ) -> None:
        for key in ("t/old", "gone/old", "new/2/t/new", "new/2/fresh/new"):
            store.put(key, b"")
        prefixes = {f"{name}/": f"new/2/{name}/" for name in ("t", "gone", "fresh", "never")}
        store.swap({"t/": "new/2/t/"}, "mark")
        self.make_store(place).swap(prefixes, "mark")
        store.delete_all("new/2/")
        assert [key for key in store.keys("") if not key.endswith("/mark")] == ["fresh/new", "t/new"]

    def test_a_lock_is_one_holders_if_the_store_has_locks(self, place: Path, store: ObjectStore) -> None:
        lock = store.lock("home/lock")
        assert lock is not None
        lock.release()
        lock.release()
        again = self.make_store(place).lock("home/lock")
        assert again is not None
        again.release()

    def test_a_check_creates_nothing(self, place: Path, store: ObjectStore) -> None:
        assert store.check("docs/sinks/parquet.md").message
        assert not place.exists()
