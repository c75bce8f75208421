"""Which state directories a container may use, told by lines as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdc.control.volume import make_state_dir, require_volume
from cdc.errors import ConfigError, StateError

REQUIRED = {"CDC_STATE_VOLUME": "required"}
ROOT = "410 300 0:52 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/x\n"
# Nobody has it, nor its parent.
STATE = Path("/nowhere/cdc")
DIGITS = "0123456789abcdef" * 4

DURABLE = {
    "named volume": "420 410 8:1 /docker/volumes/cdc-state/_data /nowhere/cdc rw - ext4 /dev/sda1 rw\n",
    "bind mount": "420 410 8:1 /srv/cdc /nowhere/cdc rw - xfs /dev/sda1 rw\n",
    "folder above": "420 410 8:1 / /nowhere rw shared:7 - ext4 /dev/sdb1 rw\n",
    "volume claim": "420 410 259:3 / /nowhere/cdc rw,relatime - ext4 /dev/nvme1n1 rw\n",
    "network file system": "420 410 0:60 / /nowhere/cdc rw - nfs4 nas:/cdc rw,vers=4.2\n",
}
LOST = {
    "nothing": ("", "no volume is mounted there"),
    "a neighbour": ("420 410 8:1 / /nowhere/cdc-2 rw - ext4 /dev/sdb1 rw\n", "no volume is mounted there"),
    "memory": (
        "420 410 0:61 / /nowhere/cdc rw - tmpfs tmpfs rw\n",
        "what is mounted at /nowhere/cdc is tmpfs, which keeps nothing",
    ),
    "an anonymous volume": (
        f"420 410 8:1 /docker/volumes/{DIGITS}/_data /nowhere/cdc rw - ext4 /dev/sda1 rw\n",
        "the volume mounted at /nowhere/cdc has no name",
    ),
    "memory over a volume": (
        DURABLE["bind mount"] + "430 420 0:61 / /nowhere/cdc rw - tmpfs tmpfs rw\n",
        "what is mounted at /nowhere/cdc is tmpfs, which keeps nothing",
    ),
}


def mounts(folder: Path, text: str) -> Path:
    file = folder / "mountinfo"
    file.write_text(ROOT + text, "utf-8")
    return file


@pytest.mark.parametrize("kind", DURABLE)
def test_state_on_a_volume_is_accepted(kind: str, tmp_path: Path) -> None:
    require_volume(STATE, REQUIRED, mounts(tmp_path, DURABLE[kind]))


@pytest.mark.parametrize("kind", LOST)
def test_state_that_goes_with_the_container_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    text, reason = LOST[kind]
    with pytest.raises(ConfigError) as refused:
        require_volume(STATE, REQUIRED, mounts(tmp_path, text))
    assert refused.value.where == "state_dir /nowhere/cdc"
    assert refused.value.message.startswith(reason)
    assert "docker run -v cdc-state:/nowhere/cdc" in refused.value.remedy


def test_remedy_mounts_over_the_folder_whose_owner_a_new_volume_takes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        require_volume(tmp_path / "state", REQUIRED, mounts(tmp_path, ""))
    assert f"docker run -v cdc-state:{tmp_path} …" in refused.value.remedy


def test_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    file = mounts(tmp_path, "420 410 8:1 / /nowhere/my\\040cdc rw - ext4 /dev/sdb1 rw\n")
    require_volume(Path("/nowhere/my cdc"), REQUIRED, file)


@pytest.mark.parametrize("environment", [{}, {"CDC_STATE_VOLUME": "optional"}, {"CDC_STATE_VOLUME": ""}])
def test_no_volume_is_required_outside_the_image(environment: dict[str, str], tmp_path: Path) -> None:
    require_volume(STATE, environment, mounts(tmp_path, ""))


def test_unknown_wish_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be required or optional"):
        require_volume(STATE, {"CDC_STATE_VOLUME": "yes"}, mounts(tmp_path, ""))


def test_mounts_of_this_machine_can_be_read() -> None:
    with pytest.raises(ConfigError, match="would be lost with the container"):
        require_volume(Path("/dev/shm/cdc"), REQUIRED)


def test_state_dir_that_cannot_be_made_is_named_with_its_remedy(tmp_path: Path) -> None:
    """A file where a folder belongs: an error for every account, root too."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError) as refused:
        make_state_dir(tmp_path / "file" / "state")
    assert refused.value.message == "the folder cannot be created: Not a directory"
    assert f"chown -R {os.geteuid()}:{os.getegid()} {tmp_path}" in refused.value.remedy
