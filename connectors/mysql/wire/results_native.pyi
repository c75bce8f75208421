# The compiled decoder of result sets; `connectors.mysql.wire.results` says what it promises.

from connectors.mysql.wire.results import Results

ResultDecoder: type[Results]
