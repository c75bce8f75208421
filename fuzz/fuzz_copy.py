"""Fuzzes the decoding of COPY BINARY."""

from fuzz import mutation, outcomes
from tests.support.postgres.decoders import PYTHON, compiled

mutation.run("copy", outcomes.copy(compiled()), outcomes.copy(PYTHON))
