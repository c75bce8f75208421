# The compiled decoder of COPY BINARY; `cdc_source_postgres.wire.decoder` says what it promises.

from cdc_source_postgres.wire.decoder import Copy

CopyDecoder: type[Copy]
