"""Fuzzes the decoding of pgoutput messages."""

from fuzz import mutation, outcomes
from tests.support.postgres.decoders import PYTHON, compiled

mutation.run("pgoutput", outcomes.pgoutput(compiled()), outcomes.pgoutput(PYTHON))
