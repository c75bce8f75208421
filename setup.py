"""Builds the compiled decoders where a C compiler answers; all metadata is in pyproject.toml."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

if sys.version_info < (3, 11):  # noqa: UP036  (who runs an older one gets its answer here)
    found = "{}.{} ({})".format(*sys.version_info[:2], sys.executable)
    sys.exit(
        f"error: cdcd needs Python 3.11 or newer, and this is Python {found}.\n"
        "  Use another one, for example: python3.11 -m pip install ."
    )

# Python's own flags ask for debug symbols, which are most of a compiled module; who sets CFLAGS decides.
NO_DEBUG_SYMBOLS = [] if "CFLAGS" in os.environ or sys.platform == "win32" else ["-g0"]
# Folders whose packages are installed under their own names: pyproject.toml says why.
ROOTS = (Path("connectors"), Path())
BUILD = Path("build/cython")
TYPES = [path for folder in ("cdc", "connectors") for path in Path(folder).glob("**/*.pxd")]
# A module whose source serves where nothing is compiled, too, has another name when it is: `copy_native` is
# `copy.py` with the types in `copy_native.pxd`.
SUFFIX = "_native"
SHARED = {
    path.with_name(path.stem.removesuffix(SUFFIX) + ".py"): path
    for path in TYPES
    if path.stem.endswith(SUFFIX)
}
COMPILED = {path: path for folder in ("cdc", "connectors") for path in Path(folder).glob("**/*.pyx")}
DIRECTIVES = {"language_level": "3"}
# In Python's sources an annotation is for readers and mypy; what is declared for C stands beside them.
SHARED_DIRECTIVES = {**DIRECTIVES, "annotation_typing": False, "initializedcheck": False}


def extension_of(source: Path, named: Path) -> Extension:
    """`connectors/cdc_source_mysql/wire/json.pyx` is `cdc_source_mysql.wire.json`."""
    root = next(root for root in ROOTS if named.is_relative_to(root))
    name = ".".join(named.relative_to(root).with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=NO_DEBUG_SYMBOLS)


def forget_outdated() -> None:
    """Cython looks for declarations by the source's name, and would miss that these changed."""
    newest = max((path.stat().st_mtime for path in TYPES), default=0)
    for source in SHARED:
        generated = BUILD / source.with_suffix(".c")
        if generated.exists() and generated.stat().st_mtime < newest:
            generated.unlink()


class OptionalBuild(build_ext):
    """Compiles what it can: without a compiler the pure-Python twins serve, and `cdc version` says so."""

    def finalize_options(self) -> None:
        from Cython.Build import cythonize

        forget_outdated()
        extensions = [
            built
            for sources, directives in ((COMPILED, DIRECTIVES), (SHARED, SHARED_DIRECTIVES))
            for built in cythonize(
                [extension_of(*source) for source in sources.items()],
                build_dir=str(BUILD),
                include_path=[str(root) for root in ROOTS],
                compiler_directives=directives,
            )
        ]
        for extension in extensions:
            extension.optional = True  # cythonize makes new objects, and leaves this out.
        self.distribution.ext_modules = extensions
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        sys.stderr.write(
            f"cdcd: compiling {len(COMPILED) + len(SHARED)} decoder modules, which takes a minute or two\n"
        )
        super().run()
        if self.inplace:
            self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove what an older checkout compiled: it would be imported instead of the Python beside it."""
        built = {Path(self.get_ext_fullpath(extension.name)).resolve() for extension in self.extensions}
        for folder in ("cdc", "connectors"):
            for path in Path(folder).glob("**/*.so"):
                if path.resolve() not in built:
                    path.unlink()


class BuildWithDocs(build_py):
    """Puts the documents into the package, where `cdc docs` finds them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # They are read where they are.
        for page in Path("docs").glob("**/*.md"):
            target = Path(self.build_lib, "cdc", "shipped_docs", page.relative_to("docs"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)


setup(
    ext_modules=[extension_of(*source) for source in (COMPILED | SHARED).items()],
    cmdclass={"build_ext": OptionalBuild, "build_py": BuildWithDocs},
)
