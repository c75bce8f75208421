"""What a correct file means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from cdc.engine import specs
from cdc.spi import FlushPolicy
from cdc_config import Configuration, FlushSettings, InvalidConfig, RetainSettings
from tests.unit.config.conftest import Load

FULL = """
state_dir: ./state
sources:
  shop:
    type: postgres
    url: postgresql://u:${PASSWORD}@h/d
    snapshot: only
    acknowledge: sinks
    on_gap: resnapshot
    log: {retain: {age: 12h, size: 1GiB}}
sinks:
  lake:
    type: parquet
    from: [shop]
    path: ./lake
    flush: {rows: 10, size: 1MiB, interval: 0s}
"""


def options_of(configuration: Configuration) -> Any:
    options = configuration.sources["shop"].options
    assert isinstance(options, BaseModel)
    return options


def test_file_gives_engine_settings_and_plugin_options(load_text: Load) -> None:
    configuration = load_text(FULL, {"PASSWORD": "s3cret"})
    source = configuration.sources["shop"]
    assert (source.settings.snapshot, source.settings.acknowledge, source.settings.on_gap) == (
        "only",
        "sinks",
        "resnapshot",
    )
    assert source.settings.log.retain == RetainSettings(age=timedelta(hours=12), size="1GiB")
    assert options_of(configuration).url == SecretStr("postgresql://u:s3cret@h/d")
    sink = configuration.sinks["lake"]
    assert sink.sources == ("shop",)
    assert sink.settings.flush == FlushSettings(rows=10, size="1MiB", interval=timedelta(0))


def test_umask_is_octal_and_leaves_nothing_for_others(load_text: Load) -> None:
    assert load_text("sources: {a: {type: postgres}}").umask == 0o027
    for text in ('"022"', "0022", "022"):
        assert load_text(f"umask: {text}\nsources: {{a: {{type: postgres}}}}").umask == 0o022


def test_state_dir_is_relative_to_the_file(load_text: Load) -> None:
    assert load_text(FULL, {"PASSWORD": "x"}).state_dir == Path.cwd() / "state"
    assert load_text("sources: {a: {type: postgres}}").state_dir == Path.cwd() / "cdc-data"


def test_defaults_are_the_engines(load_text: Load) -> None:
    configuration = load_text("sources: {a: {type: postgres}}\nsinks: {b: {type: duckdb}}")
    retain = configuration.sources["a"].settings.log.retain
    flush = configuration.sinks["b"].settings.flush
    assert specs.Retention(retain.age, retain.size) == specs.Retention()
    assert FlushPolicy(flush.rows, flush.size, flush.interval.total_seconds()) == FlushPolicy()
    source = configuration.sources["a"].settings
    spec = specs.SourceSpec("a", make=lambda _: None)  # type: ignore[arg-type,return-value]
    assert (source.snapshot, source.acknowledge, source.on_gap) == (
        spec.snapshot,
        spec.acknowledge,
        spec.on_gap,
    )


def test_what_is_not_set_of_flush_is_the_sinks_own(load_text: Load) -> None:
    text = "sources: {{a: {{type: postgres}}}}\nsinks: {{b: {{type: duckdb, flush: {}}}}}"
    own = FlushPolicy(rows=7, bytes=8, interval_seconds=30.0)

    def policy(flush: str) -> FlushPolicy:
        return load_text(text.format(flush)).sinks["b"].settings.flush.policy(own)

    assert policy("{}") == own
    assert policy("{interval: 1s}") == replace(own, interval_seconds=1.0)
    assert policy("{rows: 500000, size: 1MiB}") == replace(own, rows=500_000, bytes=1024**2)


def test_from_may_be_left_out_when_there_is_one_source(load_text: Load) -> None:
    assert load_text("sources: {a: {type: postgres}}\nsinks: {b: {type: duckdb}}").sinks["b"].sources == (
        "a",
    )


def test_scalars_are_not_yaml_1_1(load_text: Load) -> None:
    text = "sources: {shop: {type: postgres, tables: [no, on, 0123, '1', 2026-11-23, 1:30], workers: 1_0}}"
    options = options_of(load_text(text))
    assert options.tables == ("no", "on", "0123", "1", "2026-11-23", "1:30")
    assert options.workers == 10


def test_interpolated_text_fits_numbers_flags_and_choices(load_text: Load) -> None:
    text = "sources: {shop: {type: postgres, workers: '${N}', failover: '${F}', mode: '${M:-append}'}}"
    options = options_of(load_text(text, {"N": "8", "F": "true"}))
    assert (options.workers, options.failover, options.mode) == (8, True, "append")


def test_interpolated_digits_stay_text(load_text: Load) -> None:
    text = 'sources: {shop: {type: postgres, tables: ["${T}"]}}'
    assert options_of(load_text(text, {"T": "007"})).tables == ("007",)


def test_default_stands_in_for_unset_and_empty(load_text: Load) -> None:
    text = "sources: {shop: {type: postgres, tables: ['${A:-x}${B:-}-${C:-a:b}']}}"
    assert options_of(load_text(text, {"A": ""})).tables == ("x-a:b",)


def test_doubled_dollar_escapes_a_reference(load_text: Load) -> None:
    text = "sources: {shop: {type: postgres, tables: ['$${A} $A $$', '$${A}${A}']}}"
    assert options_of(load_text(text, {"A": "v"})).tables == ("${A} $A $$", "${A}v")


def test_inserted_text_is_not_read_again(load_text: Load) -> None:
    text = "sources: {shop: {type: postgres, tables: ['${A}']}}"
    assert options_of(load_text(text, {"A": "${B}"})).tables == ("${B}",)


def test_secret_file_is_read_without_its_line_end(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("p w\n", "utf-8")
    text = f"sources: {{shop: {{type: postgres, tables: ['${{file:{tmp_path}/pw}}', '${{file:pw}}']}}}}"
    assert options_of(load_text(text)).tables == ("p w", "p w")


def test_credential_is_read_from_the_folder_that_systemd_names(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("p w\n", "utf-8")
    text = "sources: {shop: {type: postgres, tables: ['${credential:pw}']}}"
    assert options_of(load_text(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})).tables == ("p w",)


def test_state_dir_can_be_the_one_that_systemd_makes(load_text: Load) -> None:
    text = "state_dir: ${STATE_DIRECTORY}\nsources: {a: {type: postgres}}"
    assert load_text(text, {"STATE_DIRECTORY": "/var/lib/cdc/shop"}).state_dir == Path("/var/lib/cdc/shop")


def test_aliases_repeat_a_value(load_text: Load) -> None:
    text = "sources:\n  a: {type: postgres, tables: &t [x]}\n  shop: {type: postgres, tables: *t}\n"
    assert options_of(load_text(text)).tables == ("x",)


def test_byte_order_mark_is_ignored(load_text: Load) -> None:
    assert load_text("\ufeffsources: {a: {type: postgres}}").sources


def test_secrets_do_not_show_in_representations(load_text: Load) -> None:
    assert "s3cret" not in repr(load_text(FULL, {"PASSWORD": "s3cret"}))


WITHOUT_ENVIRONMENT = """
http: {listen: "0.0.0.0:9000", token: "${CDC_TOKEN}"}
sources:
  shop:
    type: postgres
    url: ${SHOP_URL}
    mask_key: ${MASK_KEY}
    transforms: [{table: "*", mask: {email: hash}}]
  crm: {type: postgres, url: "postgresql://crm"}
sinks:
  lake: {type: parquet, from: [shop], path: "${file:/nowhere/lake}"}
"""
MISSING = """
state_dir: ${WHERE}
sources:
  shop: {type: postgres}
sinks:
  lake: {type: parquet, from: ["${SOURCE}"]}
"""


def test_commands_that_need_no_secret_load_without_them(load_text: Load) -> None:
    configuration = load_text(WITHOUT_ENVIRONMENT, complete=False)
    assert (list(configuration.sources), configuration.sinks["lake"].sources) == (["shop", "crm"], ("shop",))
    assert (configuration.http.listen, configuration.http.secret) == ("0.0.0.0:9000", None)
    assert configuration.sources["crm"].options is not None
    with pytest.raises(InvalidConfig, match=r"cdc.yaml:6: sources.shop.url: needs .* SHOP_URL, which is not"):
        _ = configuration.sources["shop"].options
    with pytest.raises(InvalidConfig, match=r"sinks.lake.path: needs the file /nowhere/lake"):
        _ = configuration.sinks["lake"].options


def test_values_that_every_command_needs_must_be_found(load_text: Load) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_text(MISSING, complete=False)
    places = [str(problem.where).split(": ")[1] for problem in caught.value.problems]
    assert places == ["state_dir", "sinks.lake.from[0]"]
