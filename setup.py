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
SOURCES = [*Path("cdc/native").glob("*.pyx"), *Path("connectors").glob("**/*.pyx")]


def module_name(source: Path) -> str:
    """`connectors/cdc_source_mysql/wire/json.pyx` is `cdc_source_mysql.wire.json`."""
    root = next(root for root in ROOTS if source.is_relative_to(root))
    return ".".join(source.relative_to(root).with_suffix("").parts)


class OptionalBuild(build_ext):
    """Compiles what it can: without a compiler the pure-Python twins serve, and `cdc version` says so."""

    def finalize_options(self) -> None:
        from Cython.Build import cythonize

        extensions = cythonize(
            self.distribution.ext_modules,
            build_dir="build/cython",
            include_path=[str(root) for root in ROOTS],
            compiler_directives={"language_level": "3"},
        )
        for extension in extensions:
            extension.optional = True  # cythonize makes new objects, and leaves this out.
        self.distribution.ext_modules = extensions
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        sys.stderr.write(f"cdcd: compiling {len(SOURCES)} decoder modules, which takes a minute or two\n")
        super().run()


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
    ext_modules=[Extension(module_name(p), [str(p)], extra_compile_args=NO_DEBUG_SYMBOLS) for p in SOURCES],
    cmdclass={"build_ext": OptionalBuild, "build_py": BuildWithDocs},
)
