"""The command `cdc`: one file a command; the one place that knows both configuration and engine."""

import os

# Libraries read these when they are loaded.
for _name, _value in {
    # Arrow's C++ code (IPC, the Parquet writer, its kernels) allocates from mimalloc otherwise, whatever pool
    # Python sets (`cdc.cli.allocators`). mimalloc keeps freed pages to the end: 103 MiB after 50 MB.
    # Made to give them back at once it takes new ones for each batch: with malloc a copy needs 30 MiB less at
    # its peak, and an eighth less processor time.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # numpy's BLAS, which nothing here calls, starts a thread for each processor.
    "OPENBLAS_NUM_THREADS": "1",
    # pydantic searches every installed distribution for plug-ins of its own.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}.items():
    os.environ.setdefault(_name, _value)
