"""Replay: write a second generation of a source's tables next to the one that readers see, and replace that
one when the new one is complete.

Files below the replay's offset are shared, one that holds the offset is cut. Each step can be repeated
after a crash: a generation that the cursor does not name is discarded, and a table that was swapped carries
the generation's mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cdc.lake.files import FileFormat, StagedFile
from cdc.lake.journal import LakeState, Manifest, load_manifest, save_state, write_manifest
from cdc.lake.layout import LakePaths, range_name


def begin_generation(paths: LakePaths, state: LakeState, offset: int, form: FileFormat) -> LakeState:
    """Build a new generation with all rows below `offset`; it is active on return, and receives the next
    delivery.
    """
    # A process that was replaced while it built this generation may wake and go on: the number is never used
    # again.
    generation = max(state.generation, state.live, state.reserved) + 1
    state = save_state(paths, replace(state, reserved=generation))
    root = paths.tables_root(generation, state.live)
    paths.store.delete_all(root)
    paths.store.delete_all(paths.manifests(generation))
    commits, incomplete = 0, state.incomplete[:0]
    for manifest in manifests(paths, state.live):
        if manifest.first >= offset:
            break
        _inherit(paths, manifest, generation, offset, root, form)
        commits += 1
        incomplete = manifest.incomplete
    paths.store.sync(root)
    # Position and commit time stay: readers see the old generation until the swap.
    begun = replace(
        state,
        next=offset,
        generation=generation,
        commits=commits,
        last=None,
        before=None,
        incomplete=incomplete,
    )
    begun = save_state(paths, begun)
    clear_generations(paths, begun)
    return begun


def manifests(paths: LakePaths, generation: int) -> Iterator[Manifest]:
    """The manifests of a generation, oldest first."""
    for key in paths.store.keys(paths.manifests(generation)):
        yield load_manifest(paths, key)


def swap_generation(paths: LakePaths, state: LakeState, folders: Iterable[str]) -> LakeState:
    """Show readers the generation being written; `folders` are all of the source's tables. May be
    repeated.
    """
    root = paths.tables_root(state.generation, state.live)
    prefixes = {f"{folder}/": f"{root}{folder}/" for folder in folders}
    paths.store.swap(prefixes, f".generation-{state.generation}")
    swapped = save_state(paths, replace(state, live=state.generation))
    clear_generations(paths, swapped)
    return swapped


def clear_generations(paths: LakePaths, state: LakeState) -> None:
    """Remove the files of generations that are neither read nor written.

    Generations that this state does not contain belong to a newer process.
    """
    written = {state.generation} if state.is_replaying else set()
    named = {state.generation, state.live}
    paths.store.delete_all(paths.generations, lambda name: _is_kept(name, written, state.reserved))
    paths.store.delete_all(paths.commits, lambda name: _is_kept(name, named, state.reserved))


def _is_kept(name: str, used: set[int], reserved: int) -> bool:
    number = int(name) if name.isdecimal() else 0
    return number > reserved or number in used


def _inherit(
    paths: LakePaths, manifest: Manifest, generation: int, offset: int, root: str, form: FileFormat
) -> Manifest:
    """Take over the part of a commit that lies below `offset`."""
    files = []
    for file in manifest.files:
        # The owner has removed a missing file (retention); a replay does not restore it.
        if file.first >= offset or not paths.store.has(file.path):
            continue
        if file.last < offset:
            paths.store.copy(file.path, root + file.path)
            files.append(file)
        else:
            files.append(_cut(paths, root, file, offset, form))
    end = min(manifest.next, offset)
    inherited = replace(manifest, generation=generation, next=end, files=tuple(files))
    write_manifest(paths, inherited)
    return inherited


def _cut(paths: LakePaths, root: str, file: StagedFile, offset: int, form: FileFormat) -> StagedFile:
    """Write the rows of a file that lie below `offset` as a file of its own, named by what it holds."""
    store, draft = paths.store, f"{root}{file.staged}.{form.suffix}"
    writer = store.write(draft)
    try:
        with store.read(file.path) as source:
            rows, last = form.cut(source, writer.file, offset)
    except BaseException:
        writer.abandon()
        raise
    byte_count = writer.close()
    path = f"{file.path.rpartition('/')[0]}/{range_name(file.first, last)}.{form.suffix}"
    store.publish({draft: root + path})
    return replace(file, path=path, last=last, rows=rows, byte_count=byte_count)
