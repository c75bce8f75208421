from cdc_source_mysql.wire.stream import BinlogDecoder as BinlogDecoder
