# The compiled decoder of result sets; `cdc_source_mysql.wire.results` says what it promises.

from cdc_source_mysql.wire.results import Results

ResultDecoder: type[Results]
