from __future__ import annotations

import subprocess
import sys

import pytest

from cdc.native import unavailable_reason
from tests.support.processes import child_environment

SHOW = "from cdc_source_postgres.wire.decoder import PgoutputDecoder as d; print(d.__module__.split('.')[-1])"
# What a machine without a compiler has: modules that can't be imported.
NOT_BUILT = "import sys; sys.modules['cdc.native.columns'] = None; "


def outcome(code: str, wanted: str | None) -> tuple[int, str]:
    environment = {name: value for name, value in child_environment().items() if name != "CDC_NATIVE"}
    if wanted is not None:
        environment["CDC_NATIVE"] = wanted
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return run.returncode, (run.stdout or run.stderr).strip()


@pytest.mark.skipif(unavailable_reason() != "", reason="nothing is compiled here")
@pytest.mark.parametrize(
    ("wanted", "module"), [(None, "stream_native"), ("c", "stream_native"), ("python", "stream")]
)
def test_variable_chooses_the_decoders(wanted: str | None, module: str) -> None:
    assert outcome(SHOW, wanted) == (0, module)


def test_pure_python_serves_where_nothing_is_built() -> None:
    assert outcome(NOT_BUILT + SHOW, None) == (0, "stream")


def test_asking_for_compiled_decoders_that_are_not_built_says_why() -> None:
    code, text = outcome(NOT_BUILT + SHOW, "c")
    assert code != 0
    assert "ConfigError: CDC_NATIVE: the compiled decoders cannot be used: " in text
    assert "setup.py build_ext" in text


def test_unknown_choice_is_refused() -> None:
    code, text = outcome(SHOW, "rust")
    assert code != 0
    assert "'rust' is not an implementation of the decoders. Set it to c or python, or unset it." in text
