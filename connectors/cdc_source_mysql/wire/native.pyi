# The compiled decoder; `cdc_source_mysql.wire.decoder` says what it promises.

from cdc_source_mysql.wire.decoder import Binlog

BinlogDecoder: type[Binlog]
