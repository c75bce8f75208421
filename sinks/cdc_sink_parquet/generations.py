"""Replay: a second generation of a source's tables grows beside the one that readers see, and takes its
place when whole.

Files below the replay's offset are hard-linked, one that holds the offset is cut. Each step can be repeated
after a crash: a generation that the cursor does not name is rubbish, and a table that was swapped carries
the generation's mark.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cdc.model import Envelope
from cdc_sink_parquet.columns import encodings
from cdc_sink_parquet.files import exchange, make_folders, sync_file, sync_folders
from cdc_sink_parquet.journal import LakeState, Manifest, load_manifest, save_state, write_manifest
from cdc_sink_parquet.layout import LakePaths, range_name
from cdc_sink_parquet.options import ParquetOptions
from cdc_sink_parquet.writer import StagedFile

# Where a swap puts tables that the new generation doesn't have, and the old ones where the file system can't
# exchange folders.
REPLACED = ".replaced"


def begin_generation(paths: LakePaths, state: LakeState, offset: int, options: ParquetOptions) -> LakeState:
    """Build a new generation that holds all below `offset`; it is in force on return, and the next delivery
    goes into it.
    """
    generation = max(state.generation, state.live) + 1
    root = paths.tables_root(generation, state.live)
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(paths.manifests(generation), ignore_errors=True)
    make_folders(root, paths.root)
    commits, incomplete = 0, state.incomplete[:0]
    for manifest in manifests(paths, state.live):
        if manifest.first >= offset:
            break
        _inherit(paths, manifest, generation, offset, root, options)
        commits += 1
        incomplete = manifest.incomplete
    sync_folders(Path(folder) for folder, _, _ in os.walk(root))
    # Position and commit time stay: they say what readers see, which is the old generation until the swap.
    begun = replace(
        state,
        next=offset,
        generation=generation,
        commits=commits,
        last=None,
        before=None,
        incomplete=incomplete,
    )
    save_state(paths, begun)
    clear_generations(paths, begun)
    return begun


def manifests(paths: LakePaths, generation: int) -> Iterator[Manifest]:
    """The manifests of a generation, oldest first."""
    root = paths.manifests(generation)
    for path in sorted(root.rglob("*.json")) if root.is_dir() else []:
        yield load_manifest(path)


def swap_generation(paths: LakePaths, state: LakeState, folders: Iterable[str]) -> LakeState:
    """Give readers the generation written to; `folders` are all of the source's tables. May be repeated."""
    root = paths.tables_root(state.generation, state.live)
    make_folders(root / REPLACED, paths.root)
    for folder in folders:
        _swap_table(paths.root / folder, root, folder, f".generation-{state.generation}")
    sync_folders([paths.root, root, root / REPLACED])
    swapped = replace(state, live=state.generation)
    save_state(paths, swapped)
    clear_generations(paths, swapped)
    return swapped


def clear_generations(paths: LakePaths, state: LakeState) -> None:
    """Remove what generations that are neither read nor written have left."""
    kept = {str(state.generation)} if state.is_replaying else set()
    _remove_others(paths.generations, kept)
    used = {paths.manifests(number).name for number in (state.generation, state.live)}
    _remove_others(paths.manifests(state.live).parent, used)


def _inherit(
    paths: LakePaths, manifest: Manifest, generation: int, offset: int, root: Path, options: ParquetOptions
) -> Manifest:
    """Take over the part of a commit that lies below `offset`."""
    files = []
    for file in manifest.files:
        source, target = paths.root / file.path, root / file.path
        # A file that is gone was removed by its owner (retention); a replay does not bring it back.
        if file.first >= offset or not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.last < offset:
            target.hardlink_to(source)
            files.append(file)
        else:
            files.append(_cut(source, root, file, offset, options))
    end = min(manifest.next, offset)
    inherited = replace(manifest, generation=generation, next=end, files=tuple(files))
    write_manifest(paths, inherited)
    return inherited


def _cut(source: Path, root: Path, file: StagedFile, offset: int, options: ParquetOptions) -> StagedFile:
    """Write the rows of a file that lie below `offset` as a file of its own, a row group at a time."""
    draft = (root / file.path).with_name(f".{file.staged}.tmp")
    level = options.compression_level if options.compression == "zstd" else None
    rows, last, writer = 0, file.first, None
    with pq.ParquetFile(source) as reader:
        metadata = {k: v for k, v in (reader.schema_arrow.metadata or {}).items() if k.startswith(b"cdc.")}
        schema = reader.schema_arrow.remove_metadata()
        for group in range(reader.num_row_groups):
            table = reader.read_row_group(group).replace_schema_metadata(None)
            table = table.filter(pc.less(table.column(Envelope.SEQ), offset))
            if not table.num_rows:
                break
            if writer is None:
                writer = pq.ParquetWriter(
                    draft, schema, compression=options.compression, compression_level=level,
                    write_page_index=True, store_schema=False, **encodings(table),
                )  # fmt: skip
            writer.write_table(table)
            rows, last = rows + table.num_rows, table.column(Envelope.SEQ)[-1].as_py()
    if writer is None:
        raise AssertionError(f"{source} has no row below {offset}, though its name says so")
    writer.add_key_value_metadata({**metadata, b"cdc.last": str(last).encode()})
    writer.close()
    sync_file(draft)
    path = f"{file.path.rpartition('/')[0]}/{range_name(file.first, last)}.parquet"
    draft.rename(root / path)
    return replace(file, path=path, last=last, rows=rows, byte_count=(root / path).stat().st_size)


def _swap_table(live: Path, root: Path, folder: str, mark: str) -> None:
    fresh, replaced = root / folder, root / REPLACED / folder
    if (live / mark).exists():
        return
    if not fresh.exists():
        if live.exists():
            live.rename(replaced)
        return
    (fresh / mark).touch()
    sync_folders([fresh])
    if live.exists() and exchange(live, fresh):
        return
    if live.exists():
        live.rename(replaced)
    fresh.rename(live)


def _remove_others(folder: Path, kept: set[str]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path)
