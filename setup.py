"""Builds the compiled decoders where a C compiler answers; all metadata is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = [*Path("cdc/native").glob("*.pyx"), *Path("connectors").glob("**/*.pyx")]


class OptionalBuild(build_ext):
    """Compiles what it can: without a compiler the pure-Python twins serve, and `cdc version` says so."""

    def finalize_options(self) -> None:
        from Cython.Build import cythonize

        self.distribution.ext_modules = cythonize(
            self.distribution.ext_modules,
            build_dir="build/cython",
            include_path=["."],
            compiler_directives={"language_level": "3"},
        )
        super().finalize_options()


setup(
    ext_modules=[Extension(".".join(p.with_suffix("").parts), [str(p)], optional=True) for p in SOURCES],
    cmdclass={"build_ext": OptionalBuild},
)
