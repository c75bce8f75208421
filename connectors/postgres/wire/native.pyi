# The compiled decoders; `connectors.postgres.wire.decoder` says what they promise.

from connectors.postgres.wire.copy import CopyDecoder as CopyDecoder
from connectors.postgres.wire.decoder import Pgoutput

PgoutputDecoder: type[Pgoutput]
