# The compiled decoder; `connectors.mysql.wire.decoder` says what it promises.

from connectors.mysql.wire.decoder import Binlog

BinlogDecoder: type[Binlog]
