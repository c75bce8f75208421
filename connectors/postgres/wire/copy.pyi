# The compiled decoder of COPY BINARY; `connectors.postgres.wire.decoder` says what it promises.

from connectors.postgres.wire.decoder import Copy

CopyDecoder: type[Copy]
