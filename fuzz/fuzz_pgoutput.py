"""Fuzzes the decoding of pgoutput messages."""

from fuzz import mutation, outcomes
from tests.support.postgres_decoders import PYTHON, compiled

mutation.run("pgoutput", outcomes.pgoutput(compiled()), outcomes.pgoutput(PYTHON))
