from cdc_source_postgres.wire.copy import CopyDecoder as CopyDecoder
