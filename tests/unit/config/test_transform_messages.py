"""What is said of wrong entries of `transforms`: line, key path, and what to write instead."""
# ruff: noqa: E501  (messages are quoted whole)

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Load, Messages

HEAD = "sources:\n  shop:\n    type: postgres\n"
KEY = "    mask_key: ${KEY}\n"
LIST = HEAD + "    transforms:\n      - "
MAKE = "Make one with `openssl rand -hex 32`, and write mask_key: ${CDC_MASK_KEY} or ${file:PATH}."
SUPPORTED = "Supported: and, or, not, =, <>, <, <=, >, >=, is [not] null, is [not] true, in, between, like, ilike, lower, upper, trim, length, coalesce; columns, numbers, 'texts', dates as 'YYYY-MM-DD', true, false, null."
MASKS = "must be one of hash, redact, drop, tokenise, {keep_last: 4}, {truncate: 3} or {truncate: month}"

CASES = {
    "no table": (
        LIST + "{where: a > 1}\n",
        "cdc.yaml:5: sources.shop.transforms[0].table: is required. Add 'table' here.",
    ),
    "unknown key": (
        LIST + "{table: a.b, filter: a > 1}\n",
        "cdc.yaml:5: sources.shop.transforms[0].filter: is not a known key. Known here: columns, mask, python, rename, route, table, where, where_fixed.",
    ),
    "misspelt key": (
        LIST + "{table: a.b, masks: {}}\n",
        "cdc.yaml:5: sources.shop.transforms[0].masks: is not a known key. Did you mean 'mask'?",
    ),
    "no list": (
        HEAD + "    transforms: {table: a.b}\n",
        "cdc.yaml:4: sources.shop.transforms: must be a list (got a mapping)",
    ),
    "table without schema": (
        LIST + "{table: people}\n",
        "cdc.yaml:5: sources.shop.transforms[0].table: 'people' has no schema: write schema.table, such as public.people",
    ),
    "unknown mask": (
        LIST + "{table: a.b, mask: {c: md5}}\n" + KEY,
        f"cdc.yaml:5: sources.shop.transforms[0].mask.c: {MASKS}",
    ),
    "mask with a wrong number": (
        LIST + "{table: a.b, mask: {c: {keep_last: 0}}}\n" + KEY,
        f"cdc.yaml:5: sources.shop.transforms[0].mask.c: {MASKS}",
    ),
    "unknown unit": (
        LIST + "{table: a.b, mask: {c: {truncate: week}}}\n" + KEY,
        f"cdc.yaml:5: sources.shop.transforms[0].mask.c: {MASKS}",
    ),
    "column masked twice": (
        LIST + "{table: a.b, mask: {c: hash, C: drop}}\n" + KEY,
        "cdc.yaml:5: sources.shop.transforms[0]: mask names a column twice (case does not count)",
    ),
    "condition that is none": (
        LIST + "{table: a.b, where: 'a >'}\n",
        f"cdc.yaml:5: sources.shop.transforms[0].where: where is not an SQL condition. {SUPPORTED}",
    ),
    "condition with a function": (
        LIST + "{table: a.b, where: 'now() > a'}\n",
        f"cdc.yaml:5: sources.shop.transforms[0].where: where uses CURRENTTIMESTAMP, which is not supported. {SUPPORTED}",
    ),
    "where_fixed alone": (
        LIST + "{table: a.b, where_fixed: true}\n",
        "cdc.yaml:5: sources.shop.transforms[0]: where_fixed says something about where, which is missing",
    ),
    "columns twice": (
        LIST + "{table: a.b, columns: {include: [a], exclude: [b]}}\n" + KEY,
        "cdc.yaml:5: sources.shop.transforms[0].columns: needs either include or exclude",
    ),
    "route without the table": (
        LIST + "{table: 'a.*', route: raw.all}\n",
        "cdc.yaml:5: sources.shop.transforms[0]: route needs {table}: several tables would get one name, as the pattern leaves the table open",
    ),
    "route with an unknown part": (
        LIST + "{table: a.b, route: 'raw.{name}'}\n",
        "cdc.yaml:5: sources.shop.transforms[0]: {name} is unknown in route: write {schema} or {table}",
    ),
    "mask without a key": (
        LIST + "{table: a.b, mask: {c: redact}}\n",
        f"cdc.yaml:2: sources.shop.mask_key: is required where columns are masked or left out (sources.shop.transforms[0]). {MAKE}",
    ),
    "key in the file": (
        HEAD + "    mask_key: hunter2-hunter2-hunter2\n",
        f"cdc.yaml:4: sources.shop.mask_key: must not be written into the file. {MAKE}",
    ),
    "short key": (
        HEAD + "    mask_key: ${SHORT}\n",
        f"cdc.yaml:4: sources.shop.mask_key: is shorter than 16 characters. {MAKE}",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_transforms_are_named_with_line_and_remedy(messages: Messages, name: str) -> None:
    text, expected = CASES[name]
    assert messages(text, {"KEY": "k" * 32, "SHORT": "hunter2"}) == [expected]


def test_the_key_is_shown_nowhere(load_text: Load) -> None:
    text = LIST + "{table: a.b, mask: {c: hash}}\n" + KEY
    configuration = load_text(text, {"KEY": "hunter2-hunter2-hunter2"})
    assert "hunter2" not in repr(configuration)
    assert configuration.sources["shop"].transforms[0].mask == {"c": "hash"}
