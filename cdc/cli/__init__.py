"""The command `cdc`: one file a command; the one place that knows both configuration and engine."""

import os

# Read when Arrow's library is loaded. Its Parquet writer and its kernels allocate from mimalloc, whatever
# pool Python sets (`cdc.cli.allocators`), and mimalloc keeps freed pages: 103 MiB behind a row of 50 MB, for
# good, and 30 MiB at the peak of a file of 500,000 rows. To give them back at once costs that file 0.05 s of
# 0.28 s of processor time.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "0")
