# The compiled decoders; `cdc_source_postgres.wire.decoder` says what they promise.

from cdc_source_postgres.wire.copy import CopyDecoder as CopyDecoder
from cdc_source_postgres.wire.decoder import Pgoutput

PgoutputDecoder: type[Pgoutput]
